"""Image links: what they give, and to whom they give nothing."""

from __future__ import annotations

import base64
import time

import httpx
import pytest
from host import KEY, Host
from liar import PNG, Liar
from waiting import wait_until


def link(client: httpx.Client, prompt: str) -> str:
    answer = client.post(
        "/v1/images/generations", json={"prompt": prompt, "size": "256x256", "steps": 1, "response_format": "url"}
    )
    return answer.json()["data"][0]["url"]


def refusal(answer: httpx.Response) -> str:
    assert "<" not in answer.text and answer.headers["content-type"] == "application/json"
    return answer.json()["error"]["code"]


def test_what_a_link_gives(http: httpx.Client) -> None:
    url = link(http, "x")
    whole = httpx.get(url)
    headers = whole.headers
    assert headers["content-type"] == "image/webp"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["cache-control"].startswith("public, max-age=") and headers["cache-control"].endswith("immutable")
    assert int(headers["content-length"]) == len(whole.content)

    head = httpx.head(url)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", headers["etag"])
    assert head.headers["content-length"] == headers["content-length"]
    assert httpx.get(url, headers={"if-none-match": headers["etag"]}).status_code == 304
    for asked, first, last in [("bytes=0-15", 0, 16), ("bytes=100-", 100, None), ("bytes=-20", -20, None)]:
        part = httpx.get(url, headers={"range": asked})
        assert part.status_code == 206 and part.content == whole.content[first:last], asked
        assert part.headers["content-type"] == "image/webp"
        assert part.headers["content-range"].endswith(f"/{len(whole.content)}")
    stale = httpx.get(url, headers={"range": "bytes=0-15", "if-range": '"old"'})
    assert stale.status_code == 200 and stale.content == whole.content
    assert httpx.post(url).status_code == 405


def test_only_what_is_safe_comes_through(http_lied_to: httpx.Client) -> None:
    image = httpx.get(link(http_lied_to, "headers"))
    assert image.content == PNG
    assert image.headers["content-type"] == "image/png", "as the bytes say, not as the Space says"
    assert set(image.headers) == {
        "content-type", "content-length", "etag", "cache-control", "accept-ranges", "x-content-type-options",
        "content-security-policy", "cross-origin-resource-policy", "access-control-allow-origin", "x-request-id",
        "openai-processing-ms", "server-timing", "date",
    }  # fmt: skip
    assert image.headers["access-control-allow-origin"] == "*"
    assert "immutable" in image.headers["cache-control"]


@pytest.mark.parametrize(
    ("lie", "code"), [("page", "space_unreadable"), ("svg", "space_unreadable"), ("redirect", "space_redirects")]
)
def test_what_is_no_image_does_not_come_through(http_lied_to: httpx.Client, liar: Liar, lie: str, code: str) -> None:
    answer = httpx.get(link(http_lied_to, lie))
    assert (answer.status_code, refusal(answer)) == (502, code)
    assert not any("elsewhere" in path for path in liar.paths())


def test_an_image_that_is_too_large_or_cut_breaks_off(http_lied_to: httpx.Client) -> None:
    for lie in ["huge", "short"]:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(link(http_lied_to, lie))


def test_a_forged_link_gives_nothing(http_lied_to: httpx.Client, liar: Liar) -> None:
    url = link(http_lied_to, "fine")
    base, token = url.removesuffix(".png").rsplit("/", 1)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    fetched = len(liar.requests)

    def forged(payload: bytes) -> str:
        return f"{base}/{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.png"

    later = raw[:1] + (int.from_bytes(raw[1:9], "big") + 1000).to_bytes(8, "big") + raw[9:]
    path = raw[:17] + b"/config" + raw[-16:]
    for attempt in [
        forged(later), forged(path), forged(raw[:-1]), forged(b""), forged(raw + b"x"),
        f"{base}/{token[:-1]}.png", f"{base}/x.png",
        f"{base}/http%3A%2F%2F127.0.0.1%3A1%2Fx.png", f"{base}/..%2f..%2fmodels", f"{base}/{token}/x.png",
        f"{base}/?url=http://127.0.0.1:1/",
    ]:  # fmt: skip
        answer = httpx.get(attempt)
        assert (answer.status_code, refusal(answer)) == (403, "invalid_link"), attempt
    assert len(liar.requests) == fetched, "nothing was fetched for any of them"
    assert httpx.get(url).status_code == 200


@pytest.mark.busy
def test_an_expired_or_foreign_link_gives_nothing(liar: Liar) -> None:
    settings = {"spaces": f"z={liar.url}", "extra_host": liar.url}
    short = Host(link_ttl=1, link_secret="one-secret-of-some-length", **settings)
    long = Host(link_secret="one-secret-of-some-length", **settings)
    other = Host(link_secret="another-secret-of-some-length", **settings)
    elsewhere = Host(link_secret="one-secret-of-some-length", spaces="z=http://127.0.0.1:1", extra_host=liar.url)
    try:
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=short.url, headers=headers, timeout=60) as client:
            brief = link(client, "fine")
        with httpx.Client(base_url=long.url, headers=headers, timeout=60) as client:
            url = link(client, "fine")
        assert httpx.get(url).status_code == 200
        path = url.removeprefix(long.url)
        assert refusal(httpx.get(other.url + path)) == "invalid_link"
        assert refusal(httpx.get(elsewhere.url + path)) == "invalid_link", "its Space isn't configured there"
        wait_until(lambda: httpx.get(brief).status_code != 200)
        expired = httpx.get(brief)
        assert (expired.status_code, refusal(expired)) == (410, "expired_link")
    finally:
        for host in (short, long, other, elsewhere):
            assert host.stop() == 0


def test_links_outlive_the_instance_that_made_them(http: httpx.Client) -> None:
    url = link(http, "x")
    time.sleep(2)  # an idle instance is dropped after a second; the secret is in the database
    assert httpx.get(url).status_code == 200
