#!/usr/bin/env python3
"""Builds of the server in turn, in bursts of some tenths of a second and in an order that chance makes: on a machine that is now slow and now
quick, and whose caches are those of whoever went last, two runs one after the other say nothing of differences below a fifth.

  benches/turns.py [--connections 10,100] [--messages 2000] [--size 4096] [--bursts 24] NAME=FILE NAME=FILE ...

Each burst is Postfix's smtp-source (Debian: postfix) with messages for one account, through the three first-party filters. Printed are all
messages over all time, and in brackets the median of the ratios to the first build's burst of the same turn. The same file under two names
shows what of it is chance."""
import argparse, os, random, statistics, subprocess, time
from servers import Server

flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
flags.add_argument("--connections", default="10")
flags.add_argument("--messages", type=int, default=2000)
flags.add_argument("--size", type=int, default=4096)
flags.add_argument("--bursts", type=int, default=24)
flags.add_argument("builds", nargs="+", metavar="NAME=FILE")
given = flags.parse_args()
os.environ["PATH"] += ":/usr/sbin"


def burst(server, connections, messages):
    """Seconds, and milliseconds of CPU."""
    cpu, began = server.cpu(), time.monotonic()
    subprocess.run(["smtp-source", "-d", "-s", str(connections), "-m", str(messages), "-l", str(given.size), "-f", "bench@example.net",
                    "-t", "user@example.test", f"127.0.0.1:{server.port}"], check=True)
    return time.monotonic() - began, server.cpu() - cpu


servers = []
try:
    for build in given.builds:
        name, _, file = build.partition("=")
        servers.append(Server(name, file))
        burst(servers[-1], 10, 500)
    for connections in map(int, given.connections.split(",")):
        bursts = {server: [] for server in servers}
        for _ in range(given.bursts):
            for server in random.sample(servers, len(servers)):
                bursts[server].append(burst(server, connections, given.messages))
        print(f"{connections} connections, {given.size} octets, {given.bursts} bursts of {given.messages} messages")
        messages, first = given.bursts * given.messages, bursts[servers[0]]
        for server, own in bursts.items():
            seconds, cpu = (sum(column) for column in zip(*own))
            faster = statistics.median(other[0] / burst[0] for other, burst in zip(first, own))
            dearer = statistics.median(burst[1] / other[1] for other, burst in zip(first, own))
            print(f"  {server.name:12} {messages / seconds:6.0f} messages a second ({faster:.3f}), {cpu / messages:.4f} ms CPU each ({dearer:.3f})")
finally:
    for server in servers:
        server.end()
