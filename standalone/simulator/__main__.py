"""An HTTP server that stands in for CoinGecko and NewsAPI, with their paths and shapes, and faults on demand.

python -m standalone.simulator --port 8900
COINGECKO_URL=http://127.0.0.1:8900/api/v3 NEWSAPI_URL=http://127.0.0.1:8900/v2 NEWSAPI_KEY=any ...

GET  …/simple/price?ids=bitcoin&vs_currencies=usd    GET  …/top-headlines    (under any prefix)
GET  /_stats     requests, answers and items shown, by feed
POST /_faults    {"feed": "prices"|"news", "kind": one of FAULTS, "count": 1, "seconds": 1}
"""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

import structlog

from standalone.simulator.providers import Simulator
from standalone.simulator.server import Server
from streaming_workers.logs import configure_logs

log = structlog.get_logger("standalone.simulator")  # __name__ is __main__


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m standalone.simulator", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--port", type=int, required=True, help="port to listen on; 0: a free one, in the log"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of prices and news (%(default)s)")
    parser.add_argument("--update-seconds", type=float, default=5, help="seconds a price lasts (%(default)s)")
    parser.add_argument("--new-articles", type=int, default=3, help="maximum per poll (%(default)s)")
    parser.add_argument("--news-key", help="the only valid key of the news API; default: any")
    parser.add_argument(
        "--fault-rate", type=float, default=0, help="share of answers spoilt at random, 0 to 1"
    )
    arguments = parser.parse_args(argv)
    if arguments.update_seconds <= 0 or arguments.new_articles < 0 or not 0 <= arguments.fault_rate <= 1:
        parser.error("--update-seconds above 0, --new-articles from 0, --fault-rate from 0 to 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    options = vars(_arguments(argv))
    configure_logs()
    host, port = options.pop("host"), options.pop("port")
    try:
        server = Server(Simulator(**options), host, port)
    except OSError as error:
        log.error("cannot listen", host=host, port=port, error=error.strerror)  # noqa: TRY400
        return 2

    def stop(signum: int, frame: object) -> None:
        # shutdown() waits for the loop that this handler interrupts, so it needs a thread of its own.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        log.info("the simulator is listening", url=server.url)
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
