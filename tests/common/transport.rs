//! Time stamps in an MPEG transport stream (ISO/IEC 13818-1), set to what they should
//! not be.

const PACKET: usize = 188;

/// Sets the stamps of each picture: its number, and each of its stamps as it is (90 kHz).
pub fn restamp(stream: &mut [u8], stamps: impl Fn(u64, u64) -> u64) {
    let mut pictures = 0;
    for packet in stream.chunks_exact_mut(PACKET) {
        let adaptation = if packet[3] & 0x20 != 0 { packet[4] as usize + 1 } else { 0 };
        let start = 4 + adaptation;
        let begins = packet[0] == 0x47 && packet[1] & 0x40 != 0 && start < PACKET - 19;
        if !begins || packet[start..start + 3] != [0, 0, 1] || !(0xe0..=0xef).contains(&packet[start + 3]) {
            continue;
        }
        let which = packet[start + 7] >> 6;
        for (present, at) in [(which & 2 != 0, start + 9), (which == 3, start + 14)] {
            if present {
                let field: &mut [u8; 5] = (&mut packet[at..at + 5]).try_into().unwrap();
                write(field, stamps(pictures, read(field)));
            }
        }
        pictures += 1;
    }
}

/// 33 bits with a marker bit after the third, the eighteenth and the last.
fn read(field: &[u8; 5]) -> u64 {
    let [a, b, c, d, e] = field.map(u64::from);
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

fn write(field: &mut [u8; 5], stamp: u64) {
    field[0] = field[0] & 0xf0 | (stamp >> 29 & 0x0e) as u8 | 1;
    field[1] = (stamp >> 22) as u8;
    field[2] = (stamp >> 14) as u8 | 1;
    field[3] = (stamp >> 7) as u8;
    field[4] = (stamp << 1) as u8 | 1;
}
