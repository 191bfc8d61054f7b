"""Which way requests leave this machine: one answer for WeChat Pay, doctor, GitHub and notices."""

from __future__ import annotations

import platform

import httpx
import pytest

from reconciler.model.errors import UsageError
from reconciler.system import route
from reconciler.system.route import Routes

API = httpx.URL("https://api.mch.weixin.qq.com/v3")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The proxies in the settings of a Mac, which need none for 127.0.0.1."""
    named: dict[str, str] = {}
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(route, "getproxies", lambda: named)
    monkeypatch.setattr(route, "proxy_bypass", lambda host: host == "127.0.0.1")
    return named


def test_the_environment_names_the_proxy_and_its_exceptions() -> None:
    routes = Routes({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "::1, 10.0.0.0/8, .corp"})
    found = routes.to(API).proxy
    assert found is not None
    assert (found.variable, found.host, found.port) == ("HTTPS_PROXY", "proxy", 3128)
    for host in ("https://[::1]/", "https://10.1.2.3/", "https://git.corp/"):
        assert routes.to(httpx.URL(host)).proxy is None


def test_whatever_the_environment_names_no_proxy_is_used_where_none_may_be() -> None:
    assert Routes({"HTTPS_PROXY": "http://proxy:3128"}, direct=True).to(API).proxy is None


def test_the_system_names_the_proxy_where_the_environment_says_nothing(settings: dict[str, str]) -> None:
    assert Routes({}).to(API).proxy is None
    settings["https"] = "http://system:8080"
    found = Routes({}).to(API).proxy
    assert found is not None
    assert (found.host, found.port) == ("system", 8080)
    assert Routes({}).to(httpx.URL("https://127.0.0.1")).proxy is None
    assert Routes({"NO_PROXY": ""}).to(API).proxy is None


def test_what_the_system_names_is_checked_like_a_variable(settings: dict[str, str]) -> None:
    settings["https"] = "socks5://system:1080"
    with pytest.raises(UsageError, match="The proxy of the system's settings"):
        Routes({}).to(API)


def test_httpx_gets_the_proxy_with_its_password_and_reads_no_environment() -> None:
    routes = Routes({"HTTPS_PROXY": "https://user:p%40ss@[::1]:3128"})
    options = routes.options(routes.to(API))
    proxy = options["proxy"]
    assert proxy is not None
    assert (str(proxy.url), proxy.raw_auth) == ("https://[::1]:3128", (b"user", b"p@ss"))
    assert proxy.ssl_context is options["verify"]
    assert options["trust_env"] is False


def test_certificates_are_read_once_and_only_where_tls_is_spoken() -> None:
    routes = Routes({"SSL_CERT_FILE": "/nowhere.pem"})
    routes.options(routes.to(httpx.URL("http://127.0.0.1")))
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        routes.options(routes.to(API))
    others = Routes({})
    assert others.options(others.to(API))["verify"] is others.options(others.to(API))["verify"]
