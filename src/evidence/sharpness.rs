//! How sharp a view of an object is, roughly and fast: motion blur and a wrong
//! focus take away the steps between neighbouring samples, whatever the object's
//! contrast is.

use crate::capture::Plane;

/// Samples looked at across and down, at most.
const ACROSS: usize = 160;
const DOWN: usize = 48;

/// The mean step (root of the mean square) between neighbours that counts as half
/// sharp, in shares of the spread of the luma.
const HALF: f32 = 0.30;

/// 0 (nothing to be seen) to 1, of the rectangle `[x0, y0, x1, y1]` of a luma
/// plane in samples. Neighbours are pairs two samples wide, so that a sensor's
/// noise at night does not count as detail.
pub fn sharpness(luma: &Plane<'_>, [x0, y0, x1, y1]: [usize; 4]) -> f32 {
    let (x1, y1) = (x1.min(luma.width), y1.min(luma.height));
    if x1 < x0 + 8 || y1 < y0 + 4 {
        return 0.0;
    }
    let (step_x, step_y) = ((x1 - x0).div_ceil(ACROSS).max(2), (y1 - y0).div_ceil(DOWN).max(1));
    let (mut sum, mut squares, mut steps, mut count) = (0u64, 0u64, 0u64, 0u64);
    for y in (y0..y1 - 2).step_by(step_y) {
        let (row, below) = (luma.row(y), luma.row(y + 2));
        for x in (x0..x1 - 3).step_by(step_x) {
            let (Some([a, b, c, d]), Some([e, f])) =
                (row.get(x..).and_then(|rest| rest.first_chunk()), below.get(x..).and_then(|rest| rest.first_chunk()))
            else {
                continue;
            };
            let here = u64::from(*a) + u64::from(*b);
            sum += here;
            squares += here * here;
            let (right, under) =
                (here.abs_diff(u64::from(*c) + u64::from(*d)), here.abs_diff(u64::from(*e) + u64::from(*f)));
            steps += right * right + under * under;
            count += 1;
        }
    }
    if count == 0 {
        return 0.0;
    }
    let count = count as f32;
    let mean = sum as f32 / count;
    let spread = (squares as f32 / count - mean * mean).max(0.0).sqrt();
    // A flat grey is no detail, however its last bits toggle.
    // Squares: a blurred edge has the same steps together, but none that is large.
    let relative = (steps as f32 / (2.0 * count)).sqrt() / (spread + 8.0);
    relative / (relative + HALF)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WHOLE: [usize; 4] = [0, 0, 96, 64];

    fn of(sample: impl Fn(f32, f32) -> f32) -> f32 {
        let data: Vec<u8> =
            (0..96 * 64).map(|i| sample((i % 96) as f32, (i / 96) as f32).clamp(0.0, 255.0) as u8).collect();
        sharpness(&Plane::new(&data, 96, 64, 96).unwrap(), WHOLE)
    }

    #[test]
    fn a_blurred_edge_is_less_sharp_and_a_dim_one_is_as_sharp() {
        let bars = |x: f32, blur: f32| ((x / 12.0 * std::f32::consts::PI).sin() * 12.0 / blur).clamp(-1.0, 1.0);
        let sharp = of(|x, _| 128.0 + 100.0 * bars(x, 1.0));
        let blurred = of(|x, _| 128.0 + 100.0 * bars(x, 24.0));
        let dim = of(|x, _| 60.0 + 40.0 * bars(x, 1.0));
        assert!(sharp > 1.05 * blurred, "{sharp} {blurred}");
        assert!((sharp - dim).abs() < 0.1, "{sharp} {dim}");
        assert!(of(|_, _| 90.0) < 0.05);
    }

    #[test]
    fn what_is_too_small_or_outside_is_not_looked_at() {
        let data = [9; 64];
        let plane = Plane::new(&data, 8, 8, 8).unwrap();
        assert_eq!(sharpness(&plane, [0, 0, 4, 4]), 0.0);
        assert_eq!(sharpness(&plane, [90, 90, 120, 120]), 0.0);
    }
}
