//! Three network namespaces, each joined to this one by a cable of its own. They go when the test does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::{From, Places};

/// Connects, sends what it is given, prints the answer's first line.
const ASK: &str =
    "exec 3<>\"/dev/tcp/$1/$2\" && printf '%s' \"$3\" >&3 && read -r -t 20 line <&3 && echo \"$line\"";

#[derive(Debug)]
pub struct Namespaces {
    /// Makes the names and networks of two runs on one machine differ.
    run: u32,
}

impl Namespaces {
    pub fn make() -> Result<Self, String> {
        let this = Self { run: std::process::id() };
        for from in [From::Inside, From::Outside, From::Proxy] {
            this.join(from)?;
        }
        Ok(this)
    }

    pub fn v4(&self) -> Places<IpAddr> {
        places().map(|from| IpAddr::V4(self.v4_of(from, 2)))
    }

    pub fn v6(&self) -> Places<IpAddr> {
        places().map(|from| IpAddr::V6(self.v6_of(from, 2)))
    }

    /// Sends the head of a request from a namespace to the gateway at this machine's end of its cable; the first line of
    /// the answer.
    pub fn ask(
        &self,
        from: From,
        over_v4: bool,
        port: u16,
        head: String,
    ) -> impl Future<Output = String> + use<> {
        let name = self.name(from);
        let to = if over_v4 { self.v4_of(from, 1).to_string() } else { self.v6_of(from, 1).to_string() };
        async move {
            let asking = tokio::task::spawn_blocking(move || {
                let port = port.to_string();
                let args = ["netns", "exec", &name, "bash", "-c", ASK, "ask", &to, &port, &head];
                Command::new("ip").args(args).output().unwrap()
            });
            let output = asking.await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        }
    }

    fn join(&self, from: From) -> Result<(), String> {
        let name = self.name(from);
        let (here, there) = (format!("{name}h"), format!("{name}t"));
        let inside = ["netns", "exec", &name, "ip"];
        let v4 = |end| format!("{}/30", self.v4_of(from, end));
        let v6 = |end| format!("{}/64", self.v6_of(from, end));
        ip(&["netns", "add", &name])?;
        ip(&["link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &name])?;
        ip(&["address", "add", &v4(1), "dev", &here])?;
        ip(&["-6", "address", "add", &v6(1), "dev", &here, "nodad"])?;
        ip(&["link", "set", &here, "up"])?;
        let (v4, v6) = (v4(2), v6(2));
        for rest in [
            ["address", "add", &v4, "dev", &there, "scope", "global"].as_slice(),
            &["-6", "address", "add", &v6, "dev", &there, "nodad"],
            &["link", "set", &there, "up"],
        ] {
            ip(&[inside.as_slice(), rest].concat())?;
        }
        Ok(())
    }

    fn name(&self, from: From) -> String {
        format!("lk{}{}", self.run, number(from))
    }

    fn v4_of(&self, from: From, end: u8) -> Ipv4Addr {
        // Of the networks for tests of network devices, which nobody else uses.
        let [third, ..] = self.run.to_le_bytes();
        Ipv4Addr::new(198, 18, third, number(from) * 4 + end)
    }

    fn v6_of(&self, from: From, end: u16) -> Ipv6Addr {
        let [low, high, ..] = self.run.to_le_bytes();
        let run = u16::from_le_bytes([low, high]);
        Ipv6Addr::new(0xfd6c, 0x6b00, run, number(from).into(), 0, 0, 0, end)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for from in [From::Inside, From::Outside, From::Proxy] {
            // Its cable goes with it. One that could not be made is not there.
            let _ = ip(&["netns", "delete", &self.name(from)]);
        }
    }
}

fn places() -> Places<From> {
    Places { inside: From::Inside, outside: From::Outside, proxy: From::Proxy }
}

const fn number(from: From) -> u8 {
    match from {
        From::Inside => 1,
        From::Outside => 2,
        From::Proxy => 3,
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
