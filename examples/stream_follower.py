"""As follower.py, but the changes come from NATS JetStream or Kafka, where `tidelog stream run` publishes them.

    python stream_follower.py --server nats://127.0.0.1:4222 --chain 1 --db followed.db

It needs tidelog[nats], or tidelog[kafka] for kafka://127.0.0.1:9092, and follower.py beside it, whose file it keeps:
the place behind a change is stored in the same transaction as what the change does. So this program, the publisher, the
server of the stream and the sync may be stopped, killed and begun again at any moment; the stream may be deleted, or an
older copy of it restored.
"""

import argparse
import asyncio
import sys

from follower import Followed, say
from msgspec import structs

from tidelog import TidelogError
from tidelog.stream import Change, Gap, Reset, changes


async def follow(followed: Followed, servers: list[str], chain: int) -> None:
    async for item in changes(servers, chain=chain, after=followed.place):
        match item:
            case Change():
                followed.take([structs.asdict(item)], item.place)
            case Reset(seq=seq, place=place):
                say(f"the store went back: {followed.seq} is undone to {seq}")
                followed.go_back(seq, place)
            case Gap(first=first, last=last):
                raise SystemExit(f"the stream no longer has the changes {first} to {last}: read them from the API")


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep the canonical blocks of a chain in a SQLite file.")
    parser.add_argument("--server", action="append", help="a server of the stream; give it again for each of a cluster")
    parser.add_argument("--chain", type=int, required=True, help="the chain id")
    parser.add_argument("--db", default="followed.db", help="the file; it is made if there is none")
    options = parser.parse_args()
    try:
        asyncio.run(follow(Followed(options.db), options.server or ["nats://127.0.0.1:4222"], options.chain))
    except TidelogError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
