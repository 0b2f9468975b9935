//! Made-up streams against the whole policy: what a camera of this or that
//! kind sends, and what pictures would show.

use std::time::Duration;

use proptest::prelude::*;

use super::kind::PictureKind;
use super::model::PacketFacts;
use super::policy::{Activity, Gate, GateMode, GateSettings, Unfit, Verdict};
use crate::domain::{Light, Mono};

/// splitmix64, as a normal distribution.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// How an encoder spends its bytes on a still scene.
#[derive(Clone)]
struct Camera {
    group: u64,
    key: f64,
    /// Size right after a keyframe and far from it.
    first: f64,
    later: f64,
    /// Standard deviation of a size, as a share of it.
    noise: f64,
    /// A constant rate whatever is seen.
    constant_rate: bool,
}

impl Camera {
    fn constant_quality() -> Camera {
        Camera { group: 50, key: 90_000.0, first: 5_000.0, later: 3_200.0, noise: 0.05, constant_rate: false }
    }

    fn size(&self, frame: u64, extra: f64, scale: f64, noise: &mut Noise) -> (PictureKind, usize) {
        let position = frame % self.group;
        if position == 0 {
            return (PictureKind::Key, ((self.key + noise.normal() * 400.0) * scale) as usize);
        }
        let still = self.later + (self.first - self.later) * (-(position as f64) / 8.0).exp();
        let shown = if self.constant_rate { noise.normal() * 0.2 * still } else { extra };
        let size = (still * (1.0 + self.noise * noise.normal()) + shown) * scale;
        (PictureKind::Reference, size.max(20.0) as usize)
    }
}

/// A camera before a gate, and what the decoder would see.
struct Stream {
    gate: Gate,
    camera: Camera,
    noise: Noise,
    frame: u64,
    decoding: bool,
    decoded: u64,
    light: Light,
}

const FPS: u64 = 25;

impl Stream {
    fn new(camera: Camera) -> Stream {
        let settings = GateSettings { enabled: true, idle_interval: Duration::from_secs(10) };
        Stream {
            gate: Gate::new(&settings),
            camera,
            noise: Noise(7),
            frame: 0,
            decoding: true,
            decoded: 0,
            light: Light::Day,
        }
    }

    fn now(&self) -> Mono {
        Mono::from_micros(self.frame * 1_000_000 / FPS)
    }

    /// One packet; `extra` bytes are spent on what moves, if anything does.
    fn step(&mut self, extra: Option<f64>, scale: f64) {
        let at = self.now();
        let (kind, size) = self.camera.size(self.frame, extra.unwrap_or(0.0), scale, &mut self.noise);
        let position = (self.frame % self.camera.group) as u32;
        let moving = extra.is_some();
        match self.gate.packet(&PacketFacts { at, size, kind, position, pause: None }) {
            Verdict::Decode { .. } => self.decoding = true,
            Verdict::Skip => self.decoding = false,
            Verdict::Probe => {
                assert!(!self.decoding, "probes are for a closed gate");
                self.decoded += 1;
                self.decoding = self.gate.probed(Some(moving));
            }
        }
        if self.decoding {
            self.decoded += 1;
            // The motion stage needs a second and a half at first.
            let learning = self.frame < FPS * 3 / 2;
            self.gate.seen(at, Activity { moving, busy: moving || learning, light: self.light, next_look: None });
        }
        self.frame += 1;
    }

    fn run(&mut self, seconds: u64, extra: Option<f64>) {
        for _ in 0..seconds * FPS {
            self.step(extra, 1.0);
        }
    }

    fn mode(&self) -> GateMode {
        self.gate.status().mode
    }
}

#[test]
fn an_encoder_that_skips_still_pictures_opens_it_by_its_pace() {
    let mut gate = Gate::new(&GateSettings { enabled: true, idle_interval: Duration::from_secs(10) });
    let (mut at, mut noise) = (Mono::ZERO, Noise(3));
    let camera = Camera::constant_quality();
    let mut packet = |gate: &mut Gate, frame: u64, pause_ms: u64| {
        let (kind, size) = camera.size(frame, 0.0, 1.0, &mut noise);
        let pause = Duration::from_millis(pause_ms);
        at = at.plus(pause);
        let position = (frame % camera.group) as u32;
        let verdict = gate.packet(&PacketFacts { at, size, kind, position, pause: Some(pause) });
        match verdict {
            Verdict::Decode { .. } => _ = gate.seen(at, Activity::default()),
            Verdict::Probe => assert!(!gate.probed(Some(false))),
            Verdict::Skip => {}
        }
    };
    for frame in 0..1000 {
        packet(&mut gate, frame, 200);
    }
    assert_eq!(gate.status().mode, GateMode::Closed);
    for frame in 1000..1003 {
        packet(&mut gate, frame, 40);
    }
    assert_eq!(gate.status().mode, GateMode::Open);
}

#[test]
fn a_still_scene_is_hardly_decoded() {
    let mut stream = Stream::new(Camera::constant_quality());
    stream.run(600, None);
    let status = stream.gate.status();
    assert_eq!((status.mode, status.counts.missed, status.counts.by_check), (GateMode::Closed, 0, 0));
    assert!(status.counts.by_packet <= 1, "{status:?}");
    assert!(stream.decoded < 600 * FPS / 25, "{} of {} decoded", stream.decoded, stream.frame);
}

#[test]
fn an_object_opens_it_and_it_closes_again() {
    let mut stream = Stream::new(Camera::constant_quality());
    stream.run(60, None);
    for _ in 0..5 {
        assert_eq!(stream.mode(), GateMode::Closed);
        stream.run(2, Some(600.0));
        assert!(stream.decoding, "opened within two seconds");
        stream.run(30, None);
    }
    let counts = stream.gate.status().counts;
    assert!(counts.by_packet >= 4, "{counts:?}");
    assert_eq!(counts.missed, 0);
}

#[test]
fn who_asks_for_a_picture_gets_the_next_keyframe() {
    let mut stream = Stream::new(Camera { group: FPS, ..Camera::constant_quality() });
    stream.run(60, None);
    let checks = |stream: &Stream| stream.gate.status().counts.checks;
    let before = checks(&stream);
    while checks(&stream) == before {
        stream.step(None, 1.0);
    }
    // Otherwise none comes so soon.
    stream.gate.ask();
    stream.run(1, None);
    assert_eq!((checks(&stream), stream.mode()), (before + 2, GateMode::Closed));
    stream.run(1, None);
    assert_eq!(checks(&stream), before + 2, "once");
}

#[test]
fn a_faint_object_that_stays_is_caught_by_a_keyframe_and_costs_trust() {
    let mut stream = Stream::new(Camera { noise: 0.12, ..Camera::constant_quality() });
    stream.run(60, None);
    let before = stream.gate.status();
    assert_eq!(before.mode, GateMode::Closed);
    stream.run(8, Some(10.0));
    let after = stream.gate.status();
    assert!(stream.decoding);
    assert_eq!((after.counts.by_check, after.counts.missed), (1, 1));
    assert!(after.trust < before.trust);
    // It happens again: the sizes are not believed any more.
    stream.run(30, None);
    stream.run(8, Some(10.0));
    stream.run(30, None);
    assert_eq!((stream.mode(), stream.gate.status().why), (GateMode::Open, "sizes and pictures disagree"));
    // And they are tried again later.
    stream.run(700, None);
    assert_eq!(stream.mode(), GateMode::Closed);
}

#[test]
fn a_constant_rate_is_never_gated() {
    let camera = Camera { later: 9_700.0, first: 300.0, constant_rate: true, ..Camera::constant_quality() };
    let mut stream = Stream::new(camera);
    stream.run(120, None);
    assert_eq!(stream.mode(), GateMode::Open);
    assert_eq!(stream.decoded, stream.frame);
    assert_eq!(stream.gate.status().why, "sizes vary too much to show an object");
}

#[test]
fn dusk_is_followed_and_a_switch_of_the_light_is_learnt_anew() {
    let mut stream = Stream::new(Camera::constant_quality());
    stream.run(60, None);
    // Ten percent more in ten minutes.
    for i in 0..600 * FPS {
        stream.step(None, 1.0 + 0.1 * i as f64 / (600 * FPS) as f64);
    }
    assert!(stream.gate.status().counts.by_packet <= 2, "{:?}", stream.gate.status());
    // The IR light goes on: everything is twice as large from now on.
    for _ in 0..FPS {
        stream.step(None, 2.2);
    }
    assert!(stream.decoding, "it opens");
    for _ in 0..40 * FPS {
        stream.step(None, 2.2);
    }
    assert_eq!(stream.mode(), GateMode::Closed, "{:?}", stream.gate.status());
}

#[test]
fn each_light_has_its_sizes_and_a_known_one_is_not_learnt_again() {
    let mut stream = Stream::new(Camera::constant_quality());
    // Seconds until it closes.
    let mut turn = |light: Light, scale: f64| {
        stream.light = light;
        let begin = stream.frame;
        // It opens when the sizes leap, and closes when all is known.
        for _ in 0..2 * FPS {
            stream.step(None, scale);
        }
        while stream.mode() != GateMode::Closed && stream.frame < begin + 120 * FPS {
            stream.step(None, scale);
        }
        let took_s = (stream.frame - begin) / FPS;
        for _ in 0..60 * FPS {
            stream.step(None, scale);
        }
        assert_eq!(stream.mode(), GateMode::Closed, "{light:?}: {:?}", stream.gate.status());
        took_s
    };
    let (day, infrared) = (turn(Light::Day, 1.0), turn(Light::Infrared, 2.2));
    let (day_again, infrared_again) = (turn(Light::Day, 1.0), turn(Light::Infrared, 2.2));
    assert!(day_again < day && infrared_again < infrared, "{day} {infrared} {day_again} {infrared_again}");
}

#[test]
fn what_cannot_be_gated_is_said() {
    let mut stream = Stream::new(Camera { group: 1, ..Camera::constant_quality() });
    stream.run(60, None);
    assert_eq!((stream.mode(), stream.gate.status().why), (GateMode::Open, "every picture is a keyframe"));
    let mut stream = Stream::new(Camera::constant_quality());
    stream.gate.unfit(Unfit::LongGroup);
    stream.run(60, None);
    assert_eq!(stream.gate.status().why, "keyframes too far apart for the packet ring");
    assert_eq!(stream.decoded, stream.frame);
}

#[test]
fn switched_off_it_decodes_everything() {
    let settings = GateSettings { enabled: false, idle_interval: Duration::from_secs(10) };
    let mut stream = Stream { gate: Gate::new(&settings), ..Stream::new(Camera::constant_quality()) };
    stream.run(60, None);
    assert_eq!((stream.mode(), stream.decoded), (GateMode::Off, stream.frame));
}

#[test]
fn a_covered_lens_opens_it() {
    let mut stream = Stream::new(Camera::constant_quality());
    stream.run(60, None);
    for _ in 0..FPS {
        stream.step(None, 0.1);
    }
    assert!(stream.gate.status().counts.by_packet > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the encoder does within reason: the gate stays open or what
    /// moves opens it, and a still scene stays quiet.
    #[test]
    fn an_object_is_never_lost(
        group in 20u64..120, key in 30_000.0..300_000.0, later in 200.0..8_000.0, noise in 0.005..0.1,
        share in 0.05..0.2,
    ) {
        let camera = Camera { group, key, first: later * 1.4, later, noise, constant_rate: false };
        let mut stream = Stream::new(camera);
        stream.run(60, None);
        let closed = stream.mode() == GateMode::Closed;
        prop_assert!(stream.gate.status().counts.by_packet <= 1);
        // Larger than a hundredth of a keyframe, or than some share of a packet.
        stream.run(2, Some((key * 0.01).max(later * share * 4.0)));
        prop_assert!(stream.decoding, "closed before: {closed}");
        // Small, but there for longer than two keyframes are apart.
        stream.run(60, None);
        stream.run(10 + group / FPS + 1, Some(5.0));
        prop_assert!(stream.decoding);
    }

    #[test]
    fn nothing_makes_it_panic(
        packets in prop::collection::vec((0u64..3_000_000, 0usize..1_000_000, 0u8..5, any::<bool>(), any::<bool>()), 1..600)
    ) {
        let mut gate = Gate::new(&GateSettings { enabled: true, idle_interval: Duration::from_millis(100) });
        let mut at = Mono::ZERO;
        for (i, (step, size, kind, moving, busy)) in packets.into_iter().enumerate() {
            at = at.plus(Duration::from_micros(step));
            let kinds = [
                PictureKind::Key, PictureKind::OpenKey, PictureKind::Reference, PictureKind::Bidirectional,
                PictureKind::Disposable,
            ];
            let pause = Some(Duration::from_micros(step));
            let facts = PacketFacts { at, size, kind: kinds[usize::from(kind)], position: i as u32 * 7, pause };
            match gate.packet(&facts) {
                Verdict::Probe => { gate.probed(Some(moving)); }
                Verdict::Decode { .. } => {
                    let light = Light::ALL[size % Light::ALL.len()];
                    gate.seen(at, Activity { moving, busy: moving || busy, light, next_look: None });
                }
                Verdict::Skip => {}
            }
            let trust = gate.status().trust;
            prop_assert!((0.0..=1.0).contains(&trust));
        }
    }
}
