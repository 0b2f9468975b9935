#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tawny::fuzzing::camera(data));
