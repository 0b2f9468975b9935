//! SHA-256 in lower-case hexadecimal, as the events have it.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::domain::to_hex;

/// Read at a time.
const CHUNK: usize = 1 << 18;

/// Of what is in memory.
pub fn checksum(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

/// Of everything that `from` gives, however much it is; calls `alive` every now and
/// then.
///
/// # Errors
/// When it cannot be read.
pub fn checksum_of(from: &mut dyn Read, alive: &mut dyn FnMut()) -> io::Result<String> {
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        alive();
        match from.read(&mut buffer) {
            Ok(0) => return Ok(to_hex(&sum.finalize())),
            Ok(n) => sum.update(buffer.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn in_pieces_it_is_the_same() {
        let bytes: Vec<u8> = (0..600_000_u32).map(|i| (i >> 3) as u8).collect();
        let mut steps = 0;
        let sum = checksum_of(&mut &bytes[..], &mut || steps += 1).unwrap();
        assert_eq!(sum, checksum(&bytes));
        assert!(steps >= 3, "{steps}");
    }
}
