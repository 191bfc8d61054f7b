"""Ready-made nouns for tests, each changed by naming the fields that matter, and hypothesis strategies for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from reconciler.model.activity import Award, DayWindow, DesiredActivity, Image, LiveActivity, Source, Terms, Window
from reconciler.model.identity import number_of
from reconciler.model.plan import Plan
from reconciler.plan import make_plan

NAMESPACE: Final = "liangpin"
NOW: Final = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
ONGOING: Final = "ONGOING_ACT_STATUS"
CREATED: Final = "CREATE_ACT_STATUS"
TERMINATED: Final = "TERMINATE_ACT_STATUS"
OVER_TIME: Final = "OVER_TIME_ACT_STATUS"
PAUSED: Final = "STOP_ACT_STATUS"
FAILED: Final = "CREATE_ACT_FAILED"

LOGO: Final = Image(url="https://wxpaylogo.qpic.cn/wxpaylogo/logo/0")
PICTURE: Final = Image(url="https://wxpaylogo.qpic.cn/wxpaylogo/picture/0")
LOCAL: Final = Image(sha256="ab" * 32, path="images/logo.png")
UPLOADED: Final = Image(url="https://wxpaylogo.qpic.cn/wxpaylogo/uploaded/0")


def terms(**changes: Any) -> Terms:
    """A single coupon that runs from 1 to 31 December 2026, Beijing time."""
    plain = Terms(
        activity_name="良品铺子回馈活动",
        activity_second_title="海飞丝的券",
        merchant_logo_url=LOGO,
        background_color="Color020",
        begin_time=datetime(2026, 11, 30, 16, tzinfo=UTC),
        end_time=datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC),
        available_time=(),
        available_day_time=(),
        delivery_purpose="OFF_LINE_PAY",
        mini_programs_appid="",
        mini_programs_path="",
        transaction_amount_minimum=100,
        send_content="SINGLE_COUPON",
        award_type="BUSIFAVOR",
        award_list=(Award("98065001", PICTURE),),
        merchant_option="MANUAL_INPUT_MERCHANT",
        delivery_user_category="DELIVERY_ALL_PERSON",
        merchant_member_appid="",
        goods_tags=(),
    )
    return replace(plain, **changes)


def desired(key: str = "spring", *, merchants: Sequence[str] = ("1900000001",), **changes: Any) -> DesiredActivity:
    """What a spec file called after ``key`` means. Fields of Terms go into its terms."""
    own = {name: changes.pop(name) for name in list(changes) if name in DesiredActivity.__dataclass_fields__}
    wanted = {"terms": terms(**changes), "source": Source(f"specs/{key}.yaml", 1), **own}
    return DesiredActivity(key=key, merchants=tuple(sorted(merchants)), **wanted)


def live(
    of: DesiredActivity | None = None, activity_id: str = "10028001", *, status: str = CREATED, **changes: Any
) -> LiveActivity:
    """The live activity that was created from ``of``, or one that somebody made elsewhere."""
    number = str(number_of(NAMESPACE, of)) if of else "made-on-the-web-1"
    plain = LiveActivity(
        activity_id=activity_id,
        out_request_no=number,
        activity_status=status,
        terms=of.terms if of else terms(),
        merchants=of.merchants if of else None,
        create_time=datetime(2026, 11, 20, tzinfo=UTC),
    )
    return replace(plain, **changes)


def mchids(count: int, start: int = 1600000001) -> tuple[str, ...]:
    return tuple(str(start + index) for index in range(count))


@cache
def large(operations: int) -> Plan:
    """A plan of so many operations. A fifth each is creates, terminations and merchant changes, and two fifths
    replacements; half of the terminations is refused."""
    fifth, begun = operations // 5, NOW - timedelta(days=3)
    wanted = [
        *(desired(f"new-campaign-{number:04d}", goods_tags=(str(number),)) for number in range(fifth)),
        *(desired(f"dearer-campaign-{number:04d}", transaction_amount_minimum=200) for number in range(fifth)),
        *(desired(f"grown-campaign-{number:04d}", merchants=("1", "2")) for number in range(fifth)),
        *(desired(f"kept-campaign-{number:04d}", protect=True, state="terminated") for number in range(fifth // 2)),
    ]
    lives = [
        *(
            live(
                desired(f"dearer-campaign-{number:04d}", begin_time=begun),
                f"203{number:05d}",
                status=ONGOING,
            )
            for number in range(fifth)
        ),
        *(
            live(desired(f"grown-campaign-{number:04d}", merchants=("1",)), f"204{number:05d}")
            for number in range(fifth)
        ),
        *(
            live(desired(f"kept-campaign-{number:04d}", protect=True), f"205{number:05d}")
            for number in range(fifth // 2)
        ),
        *(
            live(
                desired(f"gone-campaign-{number:04d}", merchants=mchids(2, start=1700000001 + number)),
                f"206{number:05d}",
            )
            for number in range(fifth - fifth // 2)
        ),
    ]
    return make_plan(wanted, lives, namespace=NAMESPACE, mchid="1900000001", now=NOW)


_TEXT = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_categories=("Cc", "Cf", "Cs")), min_size=1)
_URLS = st.integers(1, 99).map(lambda number: Image(url=f"https://wxpaylogo.qpic.cn/wxpaylogo/{number}/0"))
_INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(  # noqa: DTZ001 - made aware below
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    """Terms with every optional field there or not, in the canonical form that Terms promises."""
    begin = draw(_INSTANTS)
    length = draw(st.integers(3600, 90 * 86_400))
    end = begin + timedelta(seconds=length)
    half = begin + timedelta(seconds=length // 2)
    package = draw(st.booleans())
    awards = draw(st.integers(3, 5)) if package else 1
    return terms(
        activity_name=draw(_TEXT)[:10],
        activity_second_title=draw(_TEXT)[:9],
        merchant_logo_url=draw(_URLS),
        background_color=draw(st.sampled_from(["Color010", "Color100", None])),
        begin_time=begin,
        end_time=end,
        available_time=draw(st.sampled_from([(), (Window(begin, half),)])),
        available_day_time=draw(st.sampled_from([(), (DayWindow("110000", "135959"),)])),
        delivery_purpose=draw(st.sampled_from(["OFF_LINE_PAY", "JUMP_MINI_APP"])),
        mini_programs_appid=draw(st.sampled_from(["", "wx23232232323"])),
        mini_programs_path=draw(st.sampled_from(["", "/pages/index/index"])),
        transaction_amount_minimum=draw(st.integers(1, 1_000_000_000)),
        send_content="GIFT_PACKAGE" if package else "SINGLE_COUPON",
        award_list=tuple(
            Award(str(98065001 + index), draw(_URLS), draw(_URLS) if package else None) for index in range(awards)
        ),
        delivery_user_category=draw(st.sampled_from(["DELIVERY_ALL_PERSON", "DELIVERY_MEMBER_PERSON"])),
        merchant_member_appid=draw(st.sampled_from(["", "wx99"])),
        goods_tags=tuple(sorted(draw(st.sets(st.sampled_from(["tea", "nuts", "gift"]))))),
    )
