//! Which account is on the other side of a connection over loopback. Other accounts of a machine reach its ports as this one does.
//!
//! Linux lists its connections with the account of each side; other systems are not asked. It must never take somebody for this account
//! of whom the system says otherwise, and says that it does not know where the system says nothing.

use std::net::SocketAddr;

/// Who is on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopbackPeer {
    #[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "Linux alone says so"))]
    OwnAccount,
    OtherAccount,
    /// The system does not say.
    Unknown,
}

/// Who opened a connection, by its two addresses as this side sees them.
#[cfg(target_os = "linux")]
pub(crate) fn peer(here: SocketAddr, there: SocketAddr) -> LoopbackPeer {
    let table = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    judged(&[table("tcp"), table("tcp6")].concat(), here, there, rustix::process::geteuid().as_raw())
}

/// Whether the system lists the socket that listens at an address, and so every connection to it.
#[cfg(target_os = "linux")]
pub(crate) fn says_whose(listening: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table
        .lines()
        .any(|line| line.split_whitespace().nth(1).is_some_and(|local| written(listening).contains(&local.to_owned())))
}

/// It does not.
#[cfg(not(target_os = "linux"))]
pub(crate) fn says_whose(_listening: SocketAddr) -> bool {
    false
}

/// Nobody is asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn peer(_here: SocketAddr, _there: SocketAddr) -> LoopbackPeer {
    LoopbackPeer::Unknown
}

/// By the lines of Linux' tables. Where this side of the connection is not in them, what they say is about other connections.
#[cfg(any(target_os = "linux", test))]
fn judged(tables: &str, here: SocketAddr, there: SocketAddr, own: u32) -> LoopbackPeer {
    let (here, there) = (written(here), written(there));
    let account = |local: &[String], remote: &[String]| {
        tables.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, one, other, _, _, _, _, account, ..] = fields[..] else { return None };
            let is_it = local.iter().any(|name| name == one) && remote.iter().any(|name| name == other);
            is_it.then(|| account.parse::<u32>().ok()).flatten()
        })
    };
    match (account(&here, &there), account(&there, &here)) {
        (None, _) => LoopbackPeer::Unknown,
        (Some(_), Some(account)) if account == own => LoopbackPeer::OwnAccount,
        // One that is not there any more has nothing to ask.
        (Some(_), _) => LoopbackPeer::OtherAccount,
    }
}

/// An address as the tables write it: each four bytes in the machine's order. One of IPv4 also as IPv6 maps it.
#[cfg(any(target_os = "linux", test))]
fn written(address: SocketAddr) -> Vec<String> {
    use std::fmt::Write;
    let hexadecimal = |bytes: &[u8]| {
        let mut text = String::new();
        for word in bytes.chunks_exact(4) {
            let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            write!(text, "{word:08X}").expect("writing to memory does not fail");
        }
        write!(text, ":{:04X}", address.port()).expect("writing to memory does not fail");
        text
    };
    match address {
        SocketAddr::V4(v4) => {
            vec![hexadecimal(&v4.ip().octets()), hexadecimal(&v4.ip().to_ipv6_mapped().octets())]
        }
        SocketAddr::V6(v6) => vec![hexadecimal(&v6.ip().octets())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As a little-endian machine writes them.
    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0 20 4 30 10 -1
   3: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000  1000        0 4 1 0 20 4 30 10 -1
   4: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000100007F:1F90 01 0:0 0:0 0 1000 0 5 1 0 20 4 30 10 -1
   5: 0100007F:1F90 0100007F:C352 01 00000000:00000000 00:00000000 00000000  1000        0 6 1 0 20 4 30 10 -1
   6: 00000000000000000000000001000000:C353 00000000000000000000000001000000:1F90 01 0:0 0:0 0 1000 0 7 1 0 20 4 30 10 -1
   7: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:C353 01 0:0 0:0 0 1000 0 8 1 0 20 4 30 10 -1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn other_side_of_a_connection_is_the_account_that_the_system_names() {
        let judge = |here: &str, there: &str| judged(TABLE, here.parse().unwrap(), there.parse().unwrap(), 1000);
        assert_eq!(judge("127.0.0.1:8080", "127.0.0.1:50000"), LoopbackPeer::OtherAccount);
        assert_eq!(judge("127.0.0.1:8080", "127.0.0.1:50001"), LoopbackPeer::OwnAccount, "by an IPv6 socket");
        assert_eq!(judge("127.0.0.1:8080", "127.0.0.1:50002"), LoopbackPeer::OtherAccount, "it has gone");
        assert_eq!(judge("[::1]:8080", "[::1]:50003"), LoopbackPeer::OwnAccount);
        assert_eq!(judge("127.0.0.1:8081", "127.0.0.1:50000"), LoopbackPeer::Unknown, "another connection");
    }

    #[test]
    fn own_connection_is_never_taken_for_another_accounts() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, there) = listener.accept().unwrap();
        let found = peer(server.local_addr().unwrap(), there);
        assert_ne!(found, LoopbackPeer::OtherAccount);
        assert!(!says_whose(listener.local_addr().unwrap()) || found == LoopbackPeer::OwnAccount);
        drop(client);
    }
}
