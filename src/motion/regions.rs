//! From a mask of changed cells to regions: connected components (8-way).

use crate::domain::BBox;

/// At most so many regions; more means that everything moves, and the rest is
/// put into the last one.
const MAX_REGIONS: usize = 16;

/// Scratch memory, reused from frame to frame.
#[derive(Debug, Default)]
pub struct RegionFinder {
    stack: Vec<usize>,
    visited: Vec<bool>,
}

impl RegionFinder {
    /// Boxes around the connected parts of `mask` (row by row, `width` cells
    /// wide) with at least `min_cells` cells, largest first, in fractions of
    /// the stored picture.
    pub fn find(&mut self, mask: &[bool], width: usize, min_cells: usize, out: &mut Vec<BBox>) {
        out.clear();
        let height = mask.len() / width.max(1);
        if height == 0 {
            return;
        }
        self.visited.clear();
        self.visited.resize(mask.len(), false);
        let mut found: Vec<(usize, [usize; 4])> = Vec::new();
        for start in 0..mask.len() {
            if mask[start] && !self.visited[start] {
                let (cells, bounds) = self.flood(mask, width, height, start);
                if cells >= min_cells.max(1) {
                    found.push((cells, bounds));
                }
            }
        }
        found.sort_unstable_by_key(|(cells, bounds)| (std::cmp::Reverse(*cells), *bounds));
        let (w, h) = (width as f32, height as f32);
        for (_, [x0, y0, x1, y1]) in found {
            let region = BBox::from_corners(x0 as f32 / w, y0 as f32 / h, (x1 + 1) as f32 / w, (y1 + 1) as f32 / h);
            let full = out.len() == MAX_REGIONS;
            match out.last_mut() {
                Some(last) if full => *last = last.union(&region),
                _ => out.push(region),
            }
        }
    }

    fn flood(&mut self, mask: &[bool], width: usize, height: usize, start: usize) -> (usize, [usize; 4]) {
        let mut bounds = [usize::MAX, usize::MAX, 0, 0];
        let mut cells = 0;
        self.stack.clear();
        self.stack.push(start);
        self.visited[start] = true;
        while let Some(index) = self.stack.pop() {
            let (x, y) = (index % width, index / width);
            cells += 1;
            bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
            for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let neighbour = ny * width + nx;
                    if mask[neighbour] && !self.visited[neighbour] {
                        self.visited[neighbour] = true;
                        self.stack.push(neighbour);
                    }
                }
            }
        }
        (cells, bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blobs_are_two_regions_and_specks_are_none() {
        let picture = ["##......", "##...#..", "........", ".....###", ".....###"];
        let mask: Vec<bool> = picture.concat().chars().map(|c| c == '#').collect();
        let mut out = Vec::new();
        RegionFinder::default().find(&mask, 8, 2, &mut out);
        assert_eq!(out.len(), 2);
        assert!(out[0].iou(&BBox::new(0.625, 0.6, 0.375, 0.4)) > 0.999, "{out:?}");
        assert!(out[1].iou(&BBox::new(0.0, 0.0, 0.25, 0.4)) > 0.999, "{out:?}");
    }

    #[test]
    fn no_cells_no_regions() {
        let mut out = vec![BBox::default()];
        RegionFinder::default().find(&[], 0, 1, &mut out);
        assert!(out.is_empty());
    }
}
