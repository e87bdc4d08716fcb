//! Git's packet lines (gitprotocol-common): four hexadecimal digits of length, the length included, then the content;
//! `0000` is a flush.

use std::io::{self, Read, Write};

/// The longest content of a packet.
const MAX_CONTENT_BYTES: usize = 65_516;

/// The packet that ends a section.
pub(crate) const FLUSH: &[u8] = b"0000";

/// A packet with this content; what is too long for one is cut.
pub(crate) fn packet(content: &str) -> Vec<u8> {
    let content = &content.as_bytes()[..content.len().min(MAX_CONTENT_BYTES)];
    let mut packet = format!("{:04x}", content.len() + 4).into_bytes();
    packet.extend_from_slice(content);
    packet
}

/// Writes the packets of a section and the flush that ends it.
pub(crate) fn write_section(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    for line in lines {
        out.write_all(&packet(line))?;
    }
    out.write_all(FLUSH)?;
    out.flush()
}

/// Reads packets up to the flush, without their line ends.
pub(crate) fn read_section(input: &mut impl Read) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    while let Some(line) = read_packet(input)? {
        lines.push(line);
    }
    Ok(lines)
}

/// One packet; none is a flush.
fn read_packet(input: &mut impl Read) -> io::Result<Option<String>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = std::str::from_utf8(&length)
        .ok()
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a packet without a length"))?;
    let Some(length) = length.checked_sub(4) else {
        return Ok(None);
    };
    let mut content = vec![0; length];
    input.read_exact(&mut content)?;
    let text = String::from_utf8_lossy(&content);
    Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_reads_back() {
        let lines = vec!["ok refs/heads/main".to_owned(), String::new()];
        let mut bytes = Vec::new();
        write_section(&mut bytes, &lines).unwrap();
        assert_eq!(bytes, b"0016ok refs/heads/main00040000");
        assert_eq!(read_section(&mut bytes.as_slice()).unwrap(), lines);
    }

    #[test]
    fn a_cut_packet_is_an_error() {
        for bytes in [&b"0010abc"[..], b"00", b"zzzz", b""] {
            assert!(read_section(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
