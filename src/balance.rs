//! Which server of an upstream comes next. Pure: whoever asks brings a ticket and says which servers failed lately.

/// Servers that [`order`] can be told to avoid; a server beyond them is always taken for healthy.
pub const MARKS: usize = 64;

/// Every server once, in the order in which they should be tried: round robin by `ticket`, and those marked in `down`
/// last, because a server that failed lately is still better than no answer.
pub fn order(servers: usize, ticket: usize, down: u64) -> impl Iterator<Item = usize> {
    let is_down = move |server: usize| server < MARKS && (down >> server) & 1 == 1;
    let rotated = move || (0..servers).map(move |step| (ticket % servers.max(1) + step) % servers);
    rotated().filter(move |server| !is_down(*server)).chain(rotated().filter(move |server| is_down(*server)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(servers: usize, ticket: usize, down: u64, expected: &[usize]) {
        assert_eq!(order(servers, ticket, down).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn servers_take_turns() {
        check(3, 0, 0, &[0, 1, 2]);
        check(3, 1, 0, &[1, 2, 0]);
        check(3, 5, 0, &[2, 0, 1]);
        check(1, usize::MAX, 0, &[0]);
        check(0, 7, 0, &[]);
    }

    #[test]
    fn a_server_that_failed_lately_is_tried_last() {
        check(3, 0, 0b001, &[1, 2, 0]);
        check(3, 1, 0b010, &[2, 0, 1]);
        check(2, 1, 0b11, &[1, 0]);
    }

    #[test]
    fn every_server_is_tried_once_whatever_is_marked() {
        for servers in 0..70 {
            for ticket in [0, 1, 69, usize::MAX - 3] {
                for down in [0, 1, u64::MAX, 0xdead_beef] {
                    let mut all: Vec<_> = order(servers, ticket, down).collect();
                    all.sort_unstable();
                    assert!(all.into_iter().eq(0..servers), "{servers} {ticket} {down}");
                }
            }
        }
    }
}
