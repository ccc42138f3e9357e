//! Flow control: how much may still be sent, and be received (RFC 9113 5.2, 6.9).

use crate::frame::LOW_31;

/// What a window is open for before anybody changes it (RFC 9113 6.9.2).
pub(crate) const INITIAL: u32 = 65_535;

/// A window exceeded: by what came, or by being opened beyond 2^31-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// How much the peer lets us send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendWindow(i32);

impl SendWindow {
    /// A window that is open for `size` bytes, at most 2^31-1.
    pub(crate) fn new(size: u32) -> Self {
        Self((size & LOW_31) as i32)
    }

    /// What may be sent now. A window may be less than shut: then 0.
    #[inline]
    pub(crate) fn available(self) -> u32 {
        self.0.max(0) as u32
    }

    /// Counts `bytes` as sent; not more than are available.
    #[inline]
    pub(crate) fn take(&mut self, bytes: u32) {
        self.0 = self.0.saturating_sub_unsigned(bytes);
    }

    /// Opens it by an increment, or by the difference between two initial sizes, which may be less than 0 (RFC 9113 6.9.2).
    #[inline]
    pub(crate) fn shift(&mut self, by: i64) -> Result<(), Overflow> {
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// How much we let the peer send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveWindow {
    /// What it may still send.
    left: u32,
    /// What was used of what came, and is not yet announced.
    due: u32,
}

impl ReceiveWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self { left: size, due: 0 }
    }

    /// Counts what came.
    #[inline]
    pub(crate) fn take(&mut self, bytes: u32) -> Result<(), Overflow> {
        self.left = self.left.checked_sub(bytes).ok_or(Overflow)?;
        Ok(())
    }

    /// Counts what was used of it; gives the increment to announce when half of `size`, what the window is when it is wide
    /// open, came together: a WINDOW_UPDATE for every frame would be as much traffic as the acknowledgements below it.
    #[inline]
    pub(crate) fn release(&mut self, bytes: u32, size: u32) -> Option<u32> {
        self.due += bytes;
        if self.due == 0 || self.due < size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.due);
        self.left += increment;
        Some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_goes_below_zero_and_comes_back() {
        let mut window = SendWindow::new(INITIAL);
        window.take(60_000);
        window.shift(100 - i64::from(INITIAL)).unwrap();
        assert_eq!(window.available(), 0);
        window.shift(59_900).unwrap();
        assert_eq!(window.available(), 0);
        window.shift(1).unwrap();
        assert_eq!(window.available(), 1);
    }

    #[test]
    fn a_send_window_holds_two_to_the_31_less_one_and_no_more() {
        let mut window = SendWindow::new(1);
        window.shift(i64::from(LOW_31) - 1).unwrap();
        assert_eq!(window.available(), LOW_31);
        assert_eq!(window.shift(1), Err(Overflow));
        // The lowest that settings can make of it.
        window.take(LOW_31);
        window.shift(-i64::from(LOW_31)).unwrap();
        assert_eq!(window.available(), 0);
    }

    #[test]
    fn a_receive_window_is_announced_by_halves() {
        let mut window = ReceiveWindow::new(1000);
        window.take(700).unwrap();
        assert_eq!(window.take(301), Err(Overflow));
        assert_eq!(window.release(499, 1000), None);
        assert_eq!(window.release(1, 1000), Some(500));
        assert_eq!(window.release(0, 1000), None);
        window.take(800).unwrap();
        assert_eq!(window.take(1), Err(Overflow));
    }
}
