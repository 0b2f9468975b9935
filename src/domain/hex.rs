//! Bytes as hexadecimal digits and back.

use std::fmt::Write as _;

/// Two lower-case digits for each byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A string takes all.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes, written in digits of either case; `None` for anything else.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *byte = (*byte << 4) | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back_and_nothing_else_is_read(bytes: [u8; 8], text in "\\PC{0,20}") {
            prop_assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
            prop_assert_eq!(from_hex(&to_hex(&bytes).to_uppercase()), Some(bytes));
            prop_assert_eq!(from_hex::<7>(&to_hex(&bytes)), None);
            if let Some(read) = from_hex::<8>(&text) {
                prop_assert_eq!(to_hex(&read), text.to_lowercase());
            }
        }
    }
}
