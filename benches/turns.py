#!/usr/bin/env python3
"""Builds of the server in turn, in bursts of some tenths of a second and in an order that chance makes: on a machine that is now slow and now
quick, and whose caches are those of whoever went last, two runs one after the other say nothing of differences below a fifth.

  benches/turns.py [--connections 10,100] [--messages 2000] [--size 4096] [--bursts 24] NAME=FILE NAME=FILE ...

Each burst is Postfix's smtp-source (Debian: postfix) with messages for one account, through the three first-party filters. Printed are all
messages over all time, and in brackets the median of the ratios to the first build's burst of the same turn. The same file under two names
shows what of it is chance."""
import argparse, contextlib, glob, os, random, shutil, socket, statistics, subprocess, tempfile, time

flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
flags.add_argument("--connections", default="10")
flags.add_argument("--messages", type=int, default=2000)
flags.add_argument("--size", type=int, default=4096)
flags.add_argument("--bursts", type=int, default=24)
flags.add_argument("builds", nargs="+", metavar="NAME=FILE")
given = flags.parse_args()
os.environ["PATH"] += ":/usr/sbin"


class Server:
    def __init__(self, name, file):
        self.name = name
        # Not in memory: what is measured is mail on a disk.
        self.place = tempfile.mkdtemp(prefix="wasmilter-bench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = f"{self.place}/wasmilter.toml"
        os.mkdir(f"{self.place}/plugins")
        with open(config, "w") as out:
            out.write(f'''hostname = "mx.example.test"
data-dir = "{self.place}/data"
domains = ["example.test"]
[[listener]]
protocol = "smtp"
address = "127.0.0.1:{self.port}"
tls = "none"
[plugins]
directory = "{self.place}/plugins"
''')
        quiet = {"check": True, "stdout": subprocess.DEVNULL}
        plugins = ["spam-score", "rewrite", "folders"]
        subprocess.run([file, "plugin", "install", *plugins, "--config", config], **quiet)
        subprocess.run([file, "account", "add", "user@example.test", "--config", config], input=b"bench\n", **quiet)
        environment = dict(os.environ, WASMILTER_LOG="warn")
        self.process = subprocess.Popen([file, "serve", "--config", config], stdout=subprocess.DEVNULL, env=environment)
        for _ in range(300):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as client:
                    if client.recv(3) == b"220":
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit(f"{file} does not answer on port {self.port}")

    def cpu(self):
        """Milliseconds that its threads have run."""
        used = 0
        for task in glob.glob(f"/proc/{self.process.pid}/task/*/schedstat"):
            # One may end meanwhile.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(task) as stat:
                used += int(stat.read().split()[0])
        return used / 1e6

    def burst(self, connections, messages):
        """Seconds, and milliseconds of CPU."""
        cpu, began = self.cpu(), time.monotonic()
        subprocess.run(["smtp-source", "-d", "-s", str(connections), "-m", str(messages), "-l", str(given.size), "-f", "bench@example.net",
                        "-t", "user@example.test", f"127.0.0.1:{self.port}"], check=True)
        return time.monotonic() - began, self.cpu() - cpu

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.place)


servers = []
try:
    for build in given.builds:
        name, _, file = build.partition("=")
        servers.append(Server(name, os.path.realpath(file)))
        servers[-1].burst(10, 500)
    for connections in map(int, given.connections.split(",")):
        bursts = {server: [] for server in servers}
        for _ in range(given.bursts):
            for server in random.sample(servers, len(servers)):
                bursts[server].append(server.burst(connections, given.messages))
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
