//! A mail client that reads whole messages, octet by octet, and nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

pub struct Reader {
    socket: BufReader<TcpStream>,
}

impl Reader {
    /// Logs in and selects the mailbox.
    pub fn open(address: SocketAddr, login: &str, password: &str, mailbox: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut reader = Self {
            socket: BufReader::new(socket),
        };
        reader.line();
        reader.command(&format!("LOGIN {login} \"{password}\""));
        reader.command(&format!("SELECT \"{mailbox}\""));
        reader
    }

    /// The whole message.
    pub fn fetch(&mut self, uid: u32) -> Vec<u8> {
        self.send(&format!("UID FETCH {uid} (BODY.PEEK[])"));
        let mut message = Vec::new();
        loop {
            let line = self.line();
            if line.starts_with("a OK") {
                return message;
            }
            assert!(line.starts_with("* "), "{line}");
            if let Some((_, length)) = line.trim_end().trim_end_matches('}').rsplit_once('{') {
                message = vec![0; length.parse().unwrap()];
                self.socket.read_exact(&mut message).unwrap();
                // What closes the parenthesis.
                self.line();
            }
        }
    }

    /// Wants it to succeed.
    pub fn command(&mut self, command: &str) {
        self.send(command);
        loop {
            let line = self.line();
            if line.starts_with("a ") {
                assert!(line.starts_with("a OK"), "{command}: {line}");
                return;
            }
        }
    }

    fn send(&mut self, command: &str) {
        self.socket
            .get_mut()
            .write_all(format!("a {command}\r\n").as_bytes())
            .unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.socket.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line).into_owned()
    }
}
