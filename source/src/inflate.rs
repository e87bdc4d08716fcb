//! Decompressing a request body piece by piece: git clients compress long negotiations, and a body is never held whole.

use std::io::{self, Write};

use flate2::write::GzDecoder;

/// A piece of compressed input. Deflate expands by a factor of 1,032 at most, which bounds what one piece becomes to 4 MiB.
const PIECE_BYTES: usize = 4096;

/// Either decompresses or passes through.
pub(crate) enum Inflate {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

impl Inflate {
    pub(crate) fn new(gzip: bool) -> Self {
        if gzip {
            Self::Gzip(Box::new(GzDecoder::new(Vec::new())))
        } else {
            Self::Plain
        }
    }

    /// How much input [`Inflate::push`] should get at once.
    pub(crate) const fn piece_bytes(&self) -> usize {
        match self {
            Self::Plain => usize::MAX,
            Self::Gzip(_) => PIECE_BYTES,
        }
    }

    /// What a piece of input becomes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(piece.to_vec()),
            Self::Gzip(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }

    /// What was still inside when the input ended; an error if it ended early or its checksum is wrong.
    pub(crate) fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(Vec::new()),
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn inflate(bytes: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut inflate = Inflate::new(true);
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            out.extend(inflate.push(piece)?);
        }
        out.extend(inflate.finish()?);
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn pieces_of_any_size_become_the_whole() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let packed = gzip(&plain);
        for piece in [1, 7, 4096] {
            assert_eq!(inflate(&packed, piece).unwrap(), plain);
        }
    }

    #[test]
    fn a_cut_or_broken_body_is_an_error() {
        let packed = gzip(b"0032want");
        assert!(inflate(&packed[..packed.len() - 3], 4096).is_err());
        assert!(inflate(b"not gzip at all, really not", 4096).is_err());
    }
}
