#!/usr/bin/env python3
"""Mail beside mail that keeps a filter busy: what the one waits for the other, for builds of the server in turn.

  benches/heavy.py [--heavy 0,1,3] [--messages 1500] [--rate 300] [--rounds 3] NAME=FILE NAME=FILE ...

`--rate` messages a second come at their own pace on ten connections, through the three first-party filters and `benches/guests/heavy`, which
works for some 25 ms at each message of as many further clients as `--heavy` says. Printed is the time from MAIL to the reply to the end of data of
a message that is not heavy, in all rounds, and how many heavy ones were taken a second."""
import argparse, os, random, smtplib, statistics, subprocess, threading, time
from servers import Server

flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
flags.add_argument("--heavy", default="0,1,3")
flags.add_argument("--messages", type=int, default=1500)
flags.add_argument("--rate", type=int, default=300)
flags.add_argument("--rounds", type=int, default=3)
flags.add_argument("builds", nargs="+", metavar="NAME=FILE")
given = flags.parse_args()

CONNECTIONS = 10
MESSAGE = "Subject: bench\r\n\r\n" + 60 * ("a line of text as mail has it, some sixty letters " + 14 * "." + "\r\n")


def send(server, sender, goes_on, times):
    """One message after another for as long as `goes_on()`, which waits for when the next is due."""
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        while goes_on():
            began = time.monotonic()
            client.sendmail(sender, ["user@example.test"], MESSAGE)
            times.append(1000 * (time.monotonic() - began))


def measure(server, heavy):
    """Milliseconds of each message, and heavy messages a second."""
    began, over = time.monotonic(), threading.Event()
    times, heavy_times = [], []
    due = (began + n / given.rate for n in range(given.messages))
    lock = threading.Lock()

    def next_is_due():
        with lock:
            at = next(due, None)
        if at is not None:
            time.sleep(max(0, at - time.monotonic()))
        return at is not None

    paced = [threading.Thread(target=send, args=(server, "bench@example.net", next_is_due, times)) for _ in range(CONNECTIONS)]
    busy = [threading.Thread(target=send, args=(server, "heavy@example.net", lambda: not over.is_set(), heavy_times)) for _ in range(heavy)]
    for thread in paced + busy:
        thread.start()
    for thread in paced:
        thread.join()
    over.set()
    for thread in busy:
        thread.join()
    return times, len(heavy_times) / (time.monotonic() - began)


plugin = ["cargo", "build", "--quiet", "--locked", "--profile", "plugin", "--target", "wasm32-wasip2", "-p", "bench-heavy"]
subprocess.run(plugin, check=True)
filters = [f"{os.environ.get('CARGO_TARGET_DIR', 'target')}/wasm32-wasip2/plugin/bench_heavy.wasm"]
servers = []
try:
    for build in given.builds:
        name, _, file = build.partition("=")
        servers.append(Server(name, file, filters))
    for heavy in map(int, given.heavy.split(",")):
        found = {server: ([], []) for server in servers}
        for _ in range(given.rounds):
            for server in random.sample(servers, len(servers)):
                times, taken = measure(server, heavy)
                found[server][0].extend(times)
                found[server][1].append(taken)
        print(f"{heavy} clients with heavy mail, {given.rate} other messages a second")
        for server, (times, taken) in found.items():
            parts = statistics.quantiles(times, n=100)
            print(f"  {server.name:12} half within {parts[49]:5.1f} ms, 99 % within {parts[98]:5.1f} ms; {statistics.mean(taken):5.1f} heavy ones a second")
finally:
    for server in servers:
        server.end()
