"""WeChat Pay on loopback: the pay-gift endpoints and what they need, with a memory and a settable clock.

    from reconciler.sandbox.server import Sandbox, find_running, serve

    with Sandbox(directory) as sandbox:  # a server in a background thread, with keys made on first use
        sandbox.base_url, sandbox.mchid, sandbox.serial_no, sandbox.private_key_pem, sandbox.apiv3_key
        sandbox.seed([{"stock_id": "98065001"}])
        sandbox.set_clock("+3d")
        sandbox.add_fault({"kind": "error_after", "route": "create", "status": 503})
        sandbox.log(), sandbox.activities(), sandbox.history()

``serve(directory, host=…, port=…)`` runs it in the foreground; ``find_running(directory)`` finds such a server from
another process and has the same methods. ``world.World`` with ``app.app(world)`` is the same thing without a socket,
for ``httpx.ASGITransport``. ``options.Options`` holds one field for every behaviour that the API does not document.
Only ``server`` is heavy to import.

The data flow: app asks whether this machine is meant → api reads a request → authentication verifies it (near_miss says
why not) → endpoints finds its rule → limits judges the shape → writes or reads decides (with stocks, images) → world
commits to the store, then to the memory → api signs the answer. faults says what strikes on the way, fault_effects what
that does to view and effect. Everything but api, app, control, endpoints, keys, server, store and world is pure. What
it does not imitate is listed in docs/sandbox.md.
"""
