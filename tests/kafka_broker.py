"""A real Kafka broker, one node that is broker and controller, that can be killed, lose its folder and come back.

`.ci/kafka` brings its files, where Java and Maven are. It acknowledges what the system has taken, so a kill loses
nothing.
"""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import release_port, reserved_port
from tests.server_process import ServerProcess

__all__ = ["KafkaBroker", "files", "running"]

FOLDER = Path(__file__).parents[1] / ".kafka" / "lib"
START_TIMEOUT_S = 180.0  # a start takes some seconds on a machine that is free
POLL_S = 0.05
CLUSTER = "dGlkZWxvZy10ZXN0cy0tLQ"  # 16 bytes in Base64, as it wants them
MEMORY = "-Xmx256m"
CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{control}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}
advertised.listeners=BROKER://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:{security},CONTROLLER:PLAINTEXT
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
auto.create.topics.enable=false
log.cleaner.enable=false
"""


def files() -> str | None:
    """The broker's class path; None where its files or Java are not here."""
    if shutil.which("java") is None or not FOLDER.is_dir():
        return None
    return f"{FOLDER}/*"


class KafkaBroker(ServerProcess):
    """One broker. `folder` is where it keeps its topics."""

    start_timeout_s, poll_s = START_TIMEOUT_S, POLL_S

    def __init__(
        self, class_path: str, folder: Path, *, security: str = "PLAINTEXT", config: str = "", users: Sequence[str] = ()
    ) -> None:
        """`users` are of SCRAM, as the broker's own tool takes them."""
        super().__init__(folder / "topics", folder / "log")
        self.port, self._control = reserved_port(), reserved_port()
        self._java = ["java", MEMORY, "-XX:TieredStopAtLevel=1", "-cp", class_path]  # a start is what takes time here
        self._config = folder / "server.properties"
        self._users = [word for user in users for word in ("--add-scram", user)]
        folder.mkdir(parents=True, exist_ok=True)
        settings = CONFIG.format(port=self.port, control=self._control, logs=self.folder, security=security)
        self._config.write_text(settings + config)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.address}"

    def remove(self) -> None:
        """It is gone for good."""
        self.kill()
        for port in (self.port, self._control):
            release_port(port)

    def _command(self) -> Sequence[str | Path]:
        if not self.folder.exists():
            self._run("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self._config), *self._users)
        return [*self._java, "kafka.Kafka", str(self._config)]

    def _run(self, *command: str) -> None:
        done = subprocess.run([*self._java, *command], capture_output=True, text=True, timeout=START_TIMEOUT_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def _answers(self) -> bool:
        """It does once it has read its topics."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False


@contextmanager
def running(
    class_path: str, *, security: str = "PLAINTEXT", config: str = "", users: Sequence[str] = ()
) -> Iterator[KafkaBroker]:
    """A broker that is up, and is gone afterwards with its folder."""
    with tempfile.TemporaryDirectory(prefix="tidelog-kafka-") as folder:
        broker = KafkaBroker(class_path, Path(folder), security=security, config=config, users=users)
        try:
            broker.start()
            yield broker
        finally:
            broker.remove()
