//! A Kalman filter for one coordinate with constant velocity, in seconds, so
//! that frames may come at any pace. A box has four: centre x and y, width,
//! height (the state of SORT, Bewley et al. 2016, and ByteTrack, Zhang et al.
//! 2022, whose noise is likewise in proportion to the object's size; there the
//! covariances between coordinates stay zero too).

/// Position and velocity of one coordinate with their covariance.
#[derive(Debug, Clone, Copy)]
pub struct Kalman1D {
    /// Estimated position.
    pub x: f32,
    /// Estimated velocity per second.
    pub v: f32,
    p_xx: f32,
    p_xv: f32,
    p_vv: f32,
}

impl Kalman1D {
    /// At `x`, with standard deviations of position and velocity.
    pub fn new(x: f32, sigma_x: f32, sigma_v: f32) -> Kalman1D {
        Kalman1D { x, v: 0.0, p_xx: sigma_x * sigma_x, p_xv: 0.0, p_vv: sigma_v * sigma_v }
    }

    /// `dt_s` later; `sigma_a` is the standard deviation of the acceleration.
    pub fn predict(&mut self, dt_s: f32, sigma_a: f32) {
        let q = sigma_a * sigma_a;
        let (dt2, dt3) = (dt_s * dt_s, dt_s * dt_s * dt_s);
        self.x += self.v * dt_s;
        // White-noise acceleration (Bar-Shalom et al., 2001, section 6.2).
        self.p_xx += 2.0 * dt_s * self.p_xv + dt2 * self.p_vv + q * dt3 / 3.0;
        self.p_xv += dt_s * self.p_vv + q * dt2 / 2.0;
        self.p_vv += q * dt_s;
    }

    /// Seen at `z`, give or take `sigma_z`.
    pub fn update(&mut self, z: f32, sigma_z: f32) {
        let s = self.p_xx + sigma_z * sigma_z;
        if s <= 0.0 {
            self.x = z;
            return;
        }
        let (k_x, k_v) = (self.p_xx / s, self.p_xv / s);
        let residual = z - self.x;
        self.x += k_x * residual;
        self.v += k_v * residual;
        self.p_vv -= k_v * self.p_xv;
        self.p_xv -= k_x * self.p_xv;
        self.p_xx -= k_x * self.p_xx;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learns_a_velocity_at_any_frame_rate() {
        for fps in [1.0f32, 10.0, 30.0] {
            let mut filter = Kalman1D::new(0.0, 0.02, 0.5);
            for frame in 1..=(5.0 * fps) as u32 {
                filter.predict(1.0 / fps, 0.3);
                filter.update(0.2 * frame as f32 / fps, 0.01);
            }
            assert!((filter.v - 0.2).abs() < 0.02, "{fps} fps: {}", filter.v);
            assert!((filter.x - 1.0).abs() < 0.02, "{fps} fps: {}", filter.x);
        }
    }

    #[test]
    fn uncertainty_stays_positive() {
        let mut filter = Kalman1D::new(0.5, 0.1, 0.1);
        for i in 0..10_000 {
            filter.predict(0.001 + (i % 7) as f32, 0.5);
            filter.update((i % 13) as f32, 1e-4);
            assert!(filter.x.is_finite() && filter.p_xx >= 0.0 && filter.p_vv >= 0.0);
        }
    }
}
