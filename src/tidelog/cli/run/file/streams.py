"""The schema of `[[stream]]`: what of the file's sources is published to a stream, and where."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tidelog.config import Duration, FilePath, Name, Secret, Size
from tidelog.config.values import PeerUrl

__all__ = ["NatsUrl", "StreamSettings"]


class NatsUrl(PeerUrl):
    """The URL of a NATS server."""

    __slots__ = ()
    wanted = 'a NATS server, such as "nats://127.0.0.1:4222" or "tls://host:4222"'
    schemes = ("nats", "tls", "ws", "wss")


class Age(Duration):
    """How old messages may be: engines count it in seconds."""

    @classmethod
    def judge(cls, seconds: float) -> None:
        if seconds < 1 or seconds != int(seconds):
            raise ValueError("give whole seconds, 1 or more")


class StreamSettings(Struct, frozen=True, kw_only=True):
    name: Annotated[Name, Meta(description="Of the publisher.", examples=["changes"])]
    source: Annotated[
        str, Meta(description="What is published: the name of a [[chain]] or a [[market]].", examples=["mainnet"])
    ]
    nats: Annotated[
        tuple[NatsUrl, ...] | None,
        Meta(
            description="NATS servers of one cluster. Keys in them are never shown.",
            examples=[["nats://127.0.0.1:4222"]],
        ),
    ] = None
    kafka: Annotated[
        str | None,
        Meta(
            description="Instead of NATS: a Kafka broker, or several, separated by commas.",
            examples=["127.0.0.1:9092"],
        ),
    ] = None
    url: Annotated[
        PeerUrl | None,
        Meta(
            description="Instead of a stream: the receiver of a webhook.",
            examples=["https://example.org/hooks/tidelog"],
        ),
    ] = None
    secret: Annotated[
        Secret | None, Meta(description="What webhooks are signed with.", examples=["${WEBHOOK_SECRET}"])
    ] = None
    state: Annotated[
        FilePath | None,
        Meta(description="The file of how far the webhook is.", examples=["/var/lib/tidelog/hook.state"]),
    ] = None
    stream: Annotated[
        str | None, Meta(description="The stream's name; see docs/stream.md.", examples=["tidelog-chain-1"])
    ] = None
    detail: Annotated[
        Literal["header", "logs", "events"],
        Meta(description="Of a chain's block: its header; its logs too; or the decoded events of contracts too."),
    ] = "header"
    delivery: Annotated[
        Literal["latest", "final"],
        Meta(description="Of a chain: each change at the head, with reverts, or final blocks alone."),
    ] = "latest"
    events: Annotated[
        tuple[Literal["trade", "book", "top", "candle", "proof", "gap"], ...],
        Meta(description="Which events of a recording.", min_length=1),
    ] = ("trade", "book", "top", "candle", "proof", "gap")
    frames: Annotated[
        bool, Meta(description="Of a recording, its records as they were journaled instead of events.")
    ] = False
    encoding: Annotated[
        Literal["json", "msgpack"], Meta(description="Of messages; records as they were journaled are msgpack always.")
    ] = "json"
    replicas: Annotated[int, Meta(description="Servers that keep the stream.", ge=1)] = 1
    max_bytes: Annotated[
        Size | None,
        Meta(description="Size limit of the stream; beyond it the oldest messages are deleted.", examples=["10GiB"]),
    ] = None
    max_age: Annotated[Age | None, Meta(description="Messages that are older are deleted.", examples=["7d"])] = None
    creds: Annotated[FilePath | None, Meta(description="A .creds file.", examples=["/etc/tidelog/nats.creds"])] = None
    nkey: Annotated[
        FilePath | None, Meta(description="A file with the seed of an nkey.", examples=["/etc/tidelog/nats.nk"])
    ] = None
    token: Annotated[Secret | None, Meta(description="The server's token.", examples=["${NATS_TOKEN}"])] = None
    user: Annotated[str | None, Meta(description="User name at the Kafka brokers.", examples=["tidelog"])] = None
    password: Annotated[Secret | None, Meta(description="Of Kafka's user.", examples=["${KAFKA_PASSWORD}"])] = None
    sasl: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="SASL mechanism for Kafka's user.")
    ] = "PLAIN"
    tls: Annotated[bool, Meta(description="Kafka over TLS, without files too.")] = False
    tls_ca: Annotated[
        FilePath | None, Meta(description="Authorities to trust, PEM.", examples=["/etc/tidelog/ca.pem"])
    ] = None
    tls_cert: Annotated[
        FilePath | None, Meta(description="Our certificate, PEM.", examples=["/etc/tidelog/nats-cert.pem"])
    ] = None
    tls_key: Annotated[
        FilePath | None, Meta(description="The certificate's key, PEM.", examples=["/etc/tidelog/nats-key.pem"])
    ] = None
