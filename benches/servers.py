"""A build of the server for a bench: on a port and in a place of its own, with the three first-party filters and those that are given."""
import contextlib, glob, os, shutil, socket, subprocess, tempfile, time


class Server:
    def __init__(self, name, file, filters=()):
        self.name, file = name, os.path.realpath(file)
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
        for filter in filters:
            shutil.copy(filter, f"{self.place}/plugins")
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

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.place)
