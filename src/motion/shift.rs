//! By how much the whole picture has moved: a camera on a tree sways with it.
//! Pure: two luma grids go in, a shift in cells comes out.
//!
//! A search over whole cells by truncated absolute differences, then a few
//! weighted least-squares steps for the fraction (Lucas and Kanade, 1981, with
//! Geman-McClure weights), so that something passing counts for little. The
//! result is believed only if most textured parts of the picture fit better
//! with it: an object moves some of them, a swaying camera moves all.

/// Largest shift searched for, in whole cells.
const REACH: isize = 3;
/// Cells at the border that are not looked at: all that a shift may need.
const MARGIN: usize = REACH as usize + 1;
/// A difference above this is something else, not a shift.
const OUTLIER: f32 = 40.0;
/// Scale of the weights of the least-squares steps, in levels.
const WEIGHT_SCALE: f32 = 20.0;
const STEPS: usize = 4;
/// A shift by less than this is none.
const LEAST_SHIFT: f32 = 0.2;
/// While the camera is known to sway, shifts below this are taken as measured:
/// too small to prove themselves, large enough for hard edges to fire.
const SMALL: f32 = 0.6;
/// Among equals the smaller shift wins: cost per square cell.
const RELUCTANCE: f32 = 0.004;
/// The picture is judged in so many parts across and down.
const PARTS: (usize, usize) = (4, 4);
/// A part has a say if the shift should show in it by so many levels.
const TELLING: f32 = 2.0;
/// It is for the shift if its difference falls to this share.
const FALL: f32 = 0.7;
/// So many parts must have a say, and this share of them be for it.
const MIN_TELLING_PARTS: u32 = 4;
const MAJORITY: f32 = 0.67;

/// A movement of the picture's content, in cells to the right and down.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shift {
    /// To the right.
    pub dx: f32,
    /// Down.
    pub dy: f32,
}

impl Shift {
    /// No movement.
    pub const NONE: Shift = Shift { dx: 0.0, dy: 0.0 };

    /// The movement back.
    pub fn back(self) -> Shift {
        Shift { dx: -self.dx, dy: -self.dy }
    }

    /// Whole cells.
    pub fn rounded(self) -> Shift {
        Shift { dx: self.dx.round(), dy: self.dy.round() }
    }

    /// From `other` to this one.
    pub fn since(self, other: Shift) -> Shift {
        Shift { dx: self.dx - other.dx, dy: self.dy - other.dy }
    }

    /// Whether it is too small to prove itself.
    pub fn is_small(self) -> bool {
        self.length() < SMALL
    }

    fn length(self) -> f32 {
        self.dx.hypot(self.dy)
    }
}

/// How far `cells` are moved against `gain` times `mean`, both row by row and
/// `width` wide. [`Shift::NONE`] if they are not; `None` if nothing can be
/// said: too little texture, or no shift explains most of the picture. `swaying`
/// says that the camera was moved a moment ago.
pub fn estimate(cells: &[f32], mean: &[f32], gain: f32, width: usize, swaying: bool) -> Option<Shift> {
    let height = cells.len().checked_div(width)?;
    if mean.len() != cells.len() || width < 4 * MARGIN || height < 4 * MARGIN {
        return None;
    }
    let pair = Pair { cells, mean, gain, width, height };
    let whole = pair.search();
    let shift = pair.refine(whole);
    if swaying && shift.is_small() {
        return Some(shift);
    }
    if shift.length() < LEAST_SHIFT {
        return Some(Shift::NONE);
    }
    pair.is_convincing(shift).then_some(shift)
}

/// `from` moved by `shift`: calls `each` for every cell with its index and its
/// value, weighed from the four cells around where it comes from; `None` for
/// what comes from outside the picture.
pub fn warp(from: &[f32], width: usize, shift: Shift, mut each: impl FnMut(usize, Option<f32>)) {
    let height = from.len().checked_div(width).unwrap_or(0);
    let taps = Taps::new(shift);
    let columns = taps.inside(taps.left, width, taps.fx);
    let rows = taps.inside(taps.up, height, taps.fy);
    for y in 0..height {
        for x in 0..width {
            let known = rows.contains(&y) && columns.contains(&x);
            each(y * width + x, known.then(|| taps.sample(from, width, x, y)));
        }
    }
}

/// Where a cell of the moved picture comes from: whole cells and a fraction.
struct Taps {
    left: isize,
    up: isize,
    fx: f32,
    fy: f32,
}

impl Taps {
    fn new(shift: Shift) -> Taps {
        let (left, up) = ((-shift.dx).floor(), (-shift.dy).floor());
        Taps { left: left as isize, up: up as isize, fx: -shift.dx - left, fy: -shift.dy - up }
    }

    /// The places of `size` whose origin, and its neighbour where it counts,
    /// lie within `size`.
    fn inside(&self, offset: isize, size: usize, fraction: f32) -> std::ops::Range<usize> {
        let size = size as isize;
        let last = size - offset - isize::from(fraction > 0.0);
        ((-offset).clamp(0, size) as usize)..(last.clamp(0, size) as usize)
    }

    /// The value around the origin of cell (x, y), which is inside.
    fn sample(&self, from: &[f32], width: usize, x: usize, y: usize) -> f32 {
        let index = (y as isize + self.up) * width as isize + x as isize + self.left;
        let right = usize::from(self.fx > 0.0);
        let down = if self.fy > 0.0 { width } else { 0 };
        let at = |offset: usize| from.get(index as usize + offset).copied().unwrap_or(0.0);
        let (a, b, c, d) = (at(0), at(right), at(down), at(down + right));
        let (top, bottom) = (a + (b - a) * self.fx, c + (d - c) * self.fx);
        top + (bottom - top) * self.fy
    }
}

/// The picture and what it usually is.
struct Pair<'a> {
    cells: &'a [f32],
    mean: &'a [f32],
    gain: f32,
    width: usize,
    height: usize,
}

impl Pair<'_> {
    /// The best shift by whole cells.
    fn search(&self) -> Shift {
        let (mut best, mut least) = (Shift::NONE, f32::INFINITY);
        for dy in -REACH..=REACH {
            for dx in -REACH..=REACH {
                let cost = self.cost(dx, dy) * (1.0 + RELUCTANCE * (dx * dx + dy * dy) as f32);
                if cost < least {
                    (best, least) = (Shift { dx: dx as f32, dy: dy as f32 }, cost);
                }
            }
        }
        best
    }

    /// The sum of truncated differences in every second row.
    fn cost(&self, dx: isize, dy: isize) -> f32 {
        const LANES: usize = 8;
        let length = self.width - 2 * MARGIN;
        let mut sums = [0.0f32; LANES];
        for y in (MARGIN..self.height - MARGIN).step_by(2) {
            let start = y * self.width + MARGIN;
            let origin = ((y as isize - dy) * self.width as isize + MARGIN as isize - dx) as usize;
            let (seen, usual) = (&self.cells[start..start + length], &self.mean[origin..origin + length]);
            // Several sums side by side, for SIMD.
            for (a, b) in seen.chunks_exact(LANES).zip(usual.chunks_exact(LANES)) {
                for lane in 0..LANES {
                    sums[lane] += (a[lane] - self.gain * b[lane]).abs().min(OUTLIER);
                }
            }
        }
        sums.iter().sum()
    }

    /// The fraction of a cell, from the whole cells.
    fn refine(&self, whole: Shift) -> Shift {
        let mut shift = whole;
        for _ in 0..STEPS {
            let taps = Taps::new(shift);
            let (mut xx, mut xy, mut yy, mut xr, mut yr) = (1e-3f32, 0.0f32, 1e-3f32, 0.0f32, 0.0f32);
            self.each(|x, y, index| {
                let r = self.cells[index] - self.gain * taps.sample(self.mean, self.width, x, y);
                let (gx, gy) = self.slope(index);
                let square = WEIGHT_SCALE * WEIGHT_SCALE;
                let weight = (square / (square + r * r)).powi(2);
                xx += weight * gx * gx;
                xy += weight * gx * gy;
                yy += weight * gy * gy;
                xr += weight * gx * r;
                yr += weight * gy * r;
            });
            // Where all edges lie one way, nothing is known of a shift along them.
            let damping = 0.01 * (xx + yy);
            (xx, yy) = (xx + damping, yy + damping);
            let det = xx * yy - xy * xy;
            let (ex, ey) = ((xy * yr - yy * xr) / det, (xy * xr - xx * yr) / det);
            if !(ex.is_finite() && ey.is_finite()) {
                return whole;
            }
            // It stays within reach and near what the search found.
            let within =
                |value: f32, middle: f32| value.clamp(middle - 0.8, middle + 0.8).clamp(-REACH as f32, REACH as f32);
            shift = Shift { dx: within(shift.dx + ex, whole.dx), dy: within(shift.dy + ey, whole.dy) };
            if ex.hypot(ey) < 0.01 {
                break;
            }
        }
        shift
    }

    /// Whether most parts of the picture that must show the shift do.
    fn is_convincing(&self, shift: Shift) -> bool {
        const COUNT: usize = PARTS.0 * PARTS.1;
        let taps = Taps::new(shift);
        let mut parts = [(0.0f32, 0.0f32, 0.0f32, 0u32); COUNT];
        self.each(|x, y, index| {
            let (column, row) = (x * PARTS.0 / self.width, y * PARTS.1 / self.height);
            let (before, after, telling, count) = &mut parts[row * PARTS.0 + column];
            let value = self.cells[index];
            *before += (value - self.gain * self.mean[index]).abs().min(OUTLIER);
            *after += (value - self.gain * taps.sample(self.mean, self.width, x, y)).abs().min(OUTLIER);
            let (gx, gy) = slope(self.mean, index, self.width);
            *telling += (gx * shift.dx + gy * shift.dy).abs() * self.gain;
            *count += 1;
        });
        let telling = parts.iter().filter(|(_, _, telling, count)| *telling >= TELLING * *count as f32);
        let (mut all, mut in_favour) = (0u32, 0u32);
        for (before, after, ..) in telling {
            all += 1;
            in_favour += u32::from(*after <= FALL * before);
        }
        all >= MIN_TELLING_PARTS && in_favour as f32 >= MAJORITY * all as f32
    }

    /// Every fourth cell away from the border.
    fn each(&self, mut visit: impl FnMut(usize, usize, usize)) {
        for y in (MARGIN..self.height - MARGIN).step_by(2) {
            for x in (MARGIN..self.width - MARGIN).step_by(2) {
                visit(x, y, y * self.width + x);
            }
        }
    }

    fn slope(&self, index: usize) -> (f32, f32) {
        slope(self.cells, index, self.width)
    }
}

/// How much a cell differs from the cells beside it at most, for every cell:
/// calls `each` with its index and that.
pub fn edges(cells: &[f32], width: usize, mut each: impl FnMut(usize, f32)) {
    for (index, value) in cells.iter().enumerate() {
        let x = index % width;
        let left = if x > 0 { cells[index - 1] } else { *value };
        let right = if x + 1 < width { cells[index + 1] } else { *value };
        let up = index.checked_sub(width).map_or(*value, |i| cells[i]);
        let down = cells.get(index + width).copied().unwrap_or(*value);
        each(index, [left, right, up, down].iter().fold(0.0, |most: f32, other| most.max((value - other).abs())));
    }
}

/// The slope at `index`, which is not at the border, per cell.
fn slope(cells: &[f32], index: usize, width: usize) -> (f32, f32) {
    ((cells[index + 1] - cells[index - 1]) / 2.0, (cells[index + width] - cells[index - width]) / 2.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const W: usize = 80;
    const H: usize = 45;

    /// Hills and a few hard edges, moved by (dx, dy).
    fn scene(dx: f32, dy: f32) -> Vec<f32> {
        let value = |x: f32, y: f32| {
            let hills = 20.0 * (x * 0.7).sin() + 15.0 * (y * 0.6 + x * 0.2).cos();
            let edge = ((x - 30.0).clamp(0.0, 1.0) - (y - 20.0).clamp(0.0, 1.0)) * 30.0;
            110.0 + hills + edge
        };
        (0..W * H).map(|i| value((i % W) as f32 - dx, (i / W) as f32 - dy)).collect()
    }

    #[test]
    fn finds_fractions_of_a_cell() {
        let mean = scene(0.0, 0.0);
        for (dx, dy) in [(1.5, 0.0), (-0.4, 0.7), (2.3, -2.6), (0.0, -1.0), (-2.9, 0.3)] {
            let found = estimate(&scene(dx, dy), &mean, 1.0, W, false).unwrap();
            assert!((found.dx - dx).abs() < 0.1 && (found.dy - dy).abs() < 0.1, "{found:?} for {dx}, {dy}");
        }
        assert_eq!(estimate(&mean, &mean, 1.0, W, false), Some(Shift::NONE));
    }

    #[test]
    fn a_truck_in_front_is_no_shift_and_hides_none() {
        let mean = scene(0.0, 0.0);
        let with_truck = |mut cells: Vec<f32>, at: usize| {
            for (i, cell) in cells.iter_mut().enumerate() {
                let (x, y) = (i % W, i / W);
                if (at..at + 32).contains(&x) && (8..42).contains(&y) {
                    *cell = 60.0 + 80.0 * f32::from(u8::from((x - at) % 9 < 4));
                }
            }
            cells
        };
        for at in [0, 10, 20, 31, 42] {
            let still = estimate(&with_truck(mean.clone(), at), &mean, 1.0, W, false);
            assert!(matches!(still, None | Some(Shift::NONE)), "{still:?} at {at}");
            let found = estimate(&with_truck(scene(1.2, -0.8), at), &mean, 1.0, W, false);
            let near = found.is_none_or(|s| (s.dx - 1.2).abs() < 0.2 && (s.dy + 0.8).abs() < 0.2);
            assert!(near, "{found:?} at {at}");
        }
    }

    #[test]
    fn without_texture_nothing_is_said_of_another_picture() {
        let flat = vec![90.0; W * H];
        let found = estimate(&scene(0.0, 0.0), &flat, 1.0, W, false);
        assert!(matches!(found, None | Some(Shift::NONE)), "{found:?}");
    }

    #[test]
    fn warp_is_the_shift() {
        let (mean, moved) = (scene(0.0, 0.0), scene(2.0, -1.0));
        let mut unknown = 0;
        warp(&mean, W, Shift { dx: 2.0, dy: -1.0 }, |index, value| match value {
            Some(value) => assert!((value - moved[index]).abs() < 0.01),
            None => unknown += 1,
        });
        assert_eq!(unknown, 2 * H + W - 2);
    }

    proptest! {
        #[test]
        fn any_picture_gives_a_bounded_shift(
            width in 0usize..40,
            cells in prop::collection::vec(0f32..=255.0, 0..900),
            other in prop::collection::vec(0f32..=255.0, 900),
            gain in 0.5f32..2.0,
        ) {
            let height = cells.len().checked_div(width).unwrap_or(0);
            let size = width * height;
            for (a, b) in [(&cells[..size], &other[..size]), (&cells[..], &other[..])] {
                if let Some(s) = estimate(a, b, gain, width, gain > 1.0) {
                    prop_assert!(s.dx.abs() <= REACH as f32 && s.dy.abs() <= REACH as f32);
                }
            }
            let shift = Shift { dx: 7.0 * (gain - 1.3), dy: 50.0 * (gain - 1.0) };
            let mut visited = 0;
            warp(&cells[..size], width, shift, |_, _| visited += 1);
            prop_assert_eq!(visited, size);
        }
    }
}
