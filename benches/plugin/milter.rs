//! A trivial milter in C behind libmilter, asked over a Unix socket as an MTA asks it. Knows no more of the protocol than that takes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wasmilter::mail::{Content, Header};

/// As much of a body as one packet holds (MILTER_CHUNK_SIZE).
const CHUNK: usize = 65_535;

// What a milter doesn't want to be told, or doesn't answer (mfdef.h, SMFIP_).
const NO_CONNECT: u32 = 0x1;
const NO_HELO: u32 = 0x2;
const NO_MAIL: u32 = 0x4;
const NO_RCPT: u32 = 0x8;
const NO_BODY: u32 = 0x10;
const NO_HEADERS: u32 = 0x20;
const NO_END_OF_HEADER: u32 = 0x40;
const NO_DATA: u32 = 0x200;

/// The milter's process and a connection to it, which serves one message after the other as that of an MTA does.
pub struct Trivial {
    process: Child,
    stream: UnixStream,
    declined: u32,
}

impl Drop for Trivial {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Trivial {
    /// Compiles and starts it.
    pub fn start(directory: &Path) -> Result<Self, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plugin/trivial.c");
        let (program, socket) = (directory.join("trivial"), directory.join("trivial.sock"));
        let compiled = Command::new("cc")
            .args(["-O2", "-o"])
            .args([&program, &source])
            .args(["-lmilter", "-lpthread"])
            .stderr(Stdio::null())
            .status();
        if !compiled.is_ok_and(|status| status.success()) {
            return Err("it needs cc and libmilter (Debian: gcc libmilter-dev)".to_owned());
        }
        let process = Command::new(&program)
            .arg(format!("unix:{}", socket.display()))
            .spawn()
            .map_err(|error| error.to_string())?;
        let given_up = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > given_up => return Err(error.to_string()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let mut milter = Self {
            process,
            stream,
            declined: 0,
        };
        // Version 6, every action, every step that may be left out.
        let numbers = [6u32, 0x1ff, 0x1f_ffff];
        milter.send(b'O', &numbers.map(u32::to_be_bytes).concat());
        let (command, answer) = milter.receive();
        assert_eq!(command, b'O');
        milter.declined = u32::from_be_bytes(answer[8..12].try_into().unwrap());
        milter.step(b'C', NO_CONNECT, b"client.example\x004\x00\x19127.0.0.1\0");
        milter.step(b'H', NO_HELO, b"client.example\0");
        Ok(milter)
    }

    /// One message's round trips; what the milter changes is read and forgotten.
    pub fn message(&mut self, content: &Content) {
        self.step(b'M', NO_MAIL, b"<bob@example.org>\0");
        self.step(b'R', NO_RCPT, b"<alice@example.test>\0");
        self.step(b'T', NO_DATA, b"");
        let header = Header::read(content).unwrap();
        let mut length = 2;
        for field in header.fields() {
            length += field.octets().len();
            let value = field.value().trim_ascii_start();
            self.step(
                b'L',
                NO_HEADERS,
                &[field.name().as_bytes(), b"\0", value, b"\0"].concat(),
            );
        }
        self.step(b'N', NO_END_OF_HEADER, b"");
        let octets = content.read(length as u64, content.len() as usize).unwrap();
        for chunk in octets.chunks(CHUNK) {
            self.step(b'B', NO_BODY, chunk);
        }
        self.send(b'E', b"");
        // Changes, and at their end the verdict.
        let mut added = 0;
        while let (b'h', _) = self.receive() {
            added += 1;
        }
        assert_eq!(added, 1);
    }

    fn step(&mut self, command: u8, declined: u32, data: &[u8]) {
        if self.declined & declined == 0 {
            self.send(command, data);
            assert_eq!(self.receive().0, b'c');
        }
    }

    fn send(&mut self, command: u8, data: &[u8]) {
        let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
        let packet = [&length, &[command][..], data].concat();
        self.stream.write_all(&packet).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut packet = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut packet).unwrap();
        (packet.remove(0), packet)
    }
}
