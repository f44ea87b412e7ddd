"""Which addresses may be told, and signatures against the standard's own example."""

from __future__ import annotations

import base64
import hashlib
import hmac

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.errors import InvalidValue
from library.settings import Settings, from_environment
from library.webhooks import check_webhook, sign, signing_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  the standard's example
HOSTS = ("hooks.example.org", "127.0.0.1:8443", "[::1]:9000", "xn--bcher-kva.example")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/a/b?c=d",
        "http://hooks.example.org",
        "HTTPS://Hooks.Example.ORG:443/x",
        "http://127.0.0.1:8443/",
        "http://[::1]:9000/x",
        "https://xn--bcher-kva.example/%20",
    ],
)
def test_addresses_of_the_allow_list(url: str) -> None:
    assert check_webhook(url, HOSTS, SECRET) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "https://evil.hooks.example.org/",
        "https://hooks.example.org.evil.net/",
        "https://hooks.example.org./",  # another name for DNS, and for certificates
        "https://hooks.example.org:8443/",  # a host alone allows its scheme's own port
        "http://hooks.example.org:443/",
        "http://127.0.0.1/",
        "http://127.0.0.1:8444/",
        "http://127.1:8443/",
        "http://2130706433:8443/",
        "http://0x7f000001:8443/",
        "http://[::ffff:127.0.0.1]:8443/",
        "http://[::1]/",
        "https://user@hooks.example.org/",
        "https://user:pass@hooks.example.org/",
        "https://hooks.example.org@evil.net/",
        "https://hooks.example.org:443@evil.net/",
        "https://evil.net#@hooks.example.org/",
        "https://evil.net\\@hooks.example.org/",
        "https://hooks.example.org\\.evil.net/",
        "https://hooks.example.org%2eevil.net/",
        "https://hooks%2eexample.org/",
        "https://hooks.example.org:/x@evil.net",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:+443/",
        "https://bücher.example/",
        "https://hooks.examp\u017fe.org/",
        "https://hooks。example.org/",
        "https://hооks.example.org/",  # two Cyrillic letters
        "https://hooks.example.org/\r\nX-Injected: 1",
        "https://hooks.example.org/ x",
        " https://hooks.example.org/",
        "https://hooks.example.org/\n",
        "https:hooks.example.org/",
        "https:///hooks.example.org/",
        "//hooks.example.org/",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "gopher://hooks.example.org/",
        "https://[::1",
        "https://[hooks.example.org]/",
        "https://",
        "",
        "https://hooks.example.org/" + "x" * 3000,
    ],
)
def test_every_other_address_is_refused_naming_what_is_allowed(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        check_webhook(url, HOSTS, SECRET)
    assert refused.value.field == "webhook"
    assert "hooks.example.org, 127.0.0.1:8443" in str(refused.value.remedy)


pieces = st.sampled_from(
    ["hooks.example.org", "evil.net", "@", ":", "/", "\\", "#", "?", "%40", ".", "443", "[", "]"]
)


@given(st.lists(pieces, max_size=8).map("".join))
def test_what_is_accepted_goes_to_an_allowed_host_also_by_the_reading_of_httpx(rest: str) -> None:
    url = f"https://{rest}"
    try:
        check_webhook(url, HOSTS[:1], SECRET)
    except InvalidValue:
        return
    read = httpx.URL(url)
    assert (read.host, read.port, read.userinfo) == ("hooks.example.org", None, b"")


def test_no_hosts_and_no_secret_are_the_operators_to_mend() -> None:
    with pytest.raises(InvalidValue, match="SYNTHORAX_WEBHOOK_HOSTS"):
        check_webhook("https://hooks.example.org/", (), SECRET)
    with pytest.raises(InvalidValue, match="SYNTHORAX_WEBHOOK_SECRET"):
        check_webhook("https://hooks.example.org/", HOSTS, "")


def test_the_signature_of_the_standards_example() -> None:
    body = b'{"test": 2432232314}'
    headers = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(min_size=24, max_size=64), st.binary(max_size=99), st.integers(0, 2**33))
def test_a_coded_secret_signs_with_its_bytes(key: bytes, body: bytes, timestamp: int) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    mac = hmac.new(key, b"id." + str(timestamp).encode() + b"." + body, hashlib.sha256).digest()
    signature = sign(secret, "id", timestamp, body)["webhook-signature"]
    assert base64.b64decode(signature.removeprefix("v1,")) == mac


@pytest.mark.parametrize("secret", ["short", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 40])
def test_a_weak_secret_is_refused_at_the_start_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        from_environment({"SYNTHORAX_WEBHOOK_SECRET": secret})
    assert refused.value.field == "SYNTHORAX_WEBHOOK_SECRET"
    assert "short" not in str(refused.value)
    assert refused.value.value is None


def test_settings_do_not_print_their_secret() -> None:
    long = "a text of twenty-four bytes and more"
    assert signing_key(long) == long.encode()
    assert long not in repr(Settings(webhook_secret=long))
