// Has wechatpay-axios-plugin do what it is told. The first line in is the client's configuration, with the APIv3 key
// if it has to fetch the platform's certificates itself. Every other line is a call, {"name", "arguments"}. Each is
// answered by one line: {"status", "body"}, and "error" if the client saw one.

const { createHash } = require('crypto');
const { createReadStream, readFileSync } = require('fs');
const { basename } = require('path');
const { createInterface } = require('readline');
const { Aes, Wechatpay } = require('wechatpay-axios-plugin');

let wxpay;
const paygift = () => wxpay.v3.marketing.paygiftactivity;

// `_activity_id_` is replaced by the argument of that name. `Delete` becomes the path's `delete`, which by itself is a verb.
const calls = {
  certificates: () => wxpay.v3.certificates.get(),
  upload: ({ path }) => {
    const meta = { filename: basename(path), sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
    return wxpay.v3.marketing.favor.media.imageUpload.post(
      { meta: JSON.stringify(meta), file: createReadStream(path) },
      { meta, headers: { 'Content-Type': 'multipart/form-data' } },
    );
  },
  create: ({ body }) => paygift().uniqueThresholdActivity.post(body),
  list: ({ params }) => paygift().activities.get({ params }),
  detail: (of) => paygift().activities._activity_id_.get(of),
  merchants: (of) => paygift().activities._activity_id_.merchants.get(of),
  goods: (of) => paygift().activities._activity_id_.goods.get(of),
  add: ({ body, ...of }) => paygift().activities._activity_id_.merchants.add.post(body, of),
  delete: ({ body, ...of }) => paygift().activities._activity_id_.merchants.Delete.post(body, of),
  terminate: (of) => paygift().activities._activity_id_.terminate.post(undefined, of),
};

// As its own downloader does. The APIv3 key vouches for the first certificates: this one answer is not verified.
async function downloaded(config, apiv3Key) {
  const anybody = new Wechatpay({ ...config, certs: { any: undefined } });
  const { data: { data } } = await anybody.v3.certificates.get({ transformResponse: (text) => JSON.parse(text) });
  return Object.fromEntries(data.map(({ serial_no: serial, encrypt_certificate: sealed }) => (
    [serial, Aes.AesGcm.decrypt(sealed.ciphertext, apiv3Key, sealed.nonce, sealed.associated_data)]
  )));
}

async function answer(line) {
  try {
    if (!wxpay) {
      const { apiv3Key, ...config } = JSON.parse(line);
      wxpay = new Wechatpay({ ...config, certs: config.certs || await downloaded(config, apiv3Key) });
      return {};
    }
    const call = JSON.parse(line);
    const { status, data } = await calls[call.name](call.arguments);
    return { status, body: data };
  } catch (error) {
    const { status, data } = error.response || {};
    return { status, body: data, error: String(error) };
  }
}

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
  }
})();
