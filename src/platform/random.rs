//! Random bytes.

use super::port::Host;
use crate::hex::hex;

/// `N` random bytes.
pub fn random_bytes<const N: usize>(host: &Host) -> [u8; N] {
    let mut bytes = [0; N];
    host.fill_random(&mut bytes);
    bytes
}

/// `N` random bytes as lower-case hexadecimal digits, two for each byte.
pub fn random_hex<const N: usize>(host: &Host) -> String {
    hex(&random_bytes::<N>(host))
}
