//! Which server comes next, for every way of choosing.

use proptest::prelude::*;

use super::*;

fn well(index: usize) -> Standing {
    Standing { key: stable(&[10, 0, 0, u8::try_from(index).unwrap()]), load: 0, share: Share::ALL }
}

fn without(down: u64) -> impl Fn(usize) -> Standing {
    move |index| match (down >> index) & 1 {
        0 => well(index),
        _ => Standing { share: Share::NONE, ..well(index) },
    }
}

fn all(mut turn: Turn, servers: usize, look: impl Fn(usize) -> Standing) -> Vec<usize> {
    std::iter::from_fn(|| turn.next(servers, &look)).collect()
}

#[track_caller]
fn check(servers: usize, ticket: u64, down: u64, expected: &[usize]) {
    let turn = Turn::new(Balance::RoundRobin, ticket, None);
    assert_eq!(all(turn, servers, without(down)), expected);
}

#[test]
fn servers_take_turns() {
    check(3, 0, 0, &[0, 1, 2]);
    check(3, 1, 0, &[1, 2, 0]);
    check(3, 5, 0, &[2, 1, 0]);
    check(1, u64::MAX, 0, &[0]);
    check(0, 7, 0, &[]);
}

#[test]
fn a_server_that_failed_lately_is_tried_last_and_the_others_share_its_part() {
    check(3, 0, 0b001, &[1, 2, 0]);
    check(3, 1, 0b001, &[2, 1, 0]);
    check(2, 1, 0b11, &[1, 0]);
}

#[test]
fn a_server_that_returns_gets_a_part_first() {
    let now = 50_000;
    let mark = Mark::NONE.again(now);
    let firsts = |at: u64| {
        let look = move |index| match index {
            0 => Standing { share: mark.share(at), ..well(0) },
            _ => well(index),
        };
        (0..10_000)
            .filter(|ticket| all(Turn::new(Balance::RoundRobin, *ticket, None), 2, look)[0] == 0)
            .count()
    };
    assert_eq!(firsts(now), 0);
    assert!((350..650).contains(&firsts(now + 1_000)), "{}", firsts(now + 1_000));
    assert!((2_000..3_500).contains(&firsts(now + 6_000)), "{}", firsts(now + 6_000));
    assert_eq!(firsts(now + 11_000), 5_000);
}

#[test]
fn the_one_of_two_with_fewer_requests_is_taken() {
    let loads = [9, 0, 9, 9];
    let look = |index: usize| Standing { load: loads[index], ..well(index) };
    let mut counts = [0; 4];
    for ticket in 0..4_000 {
        counts[all(Turn::new(Balance::LeastRequests, ticket, None), 4, look)[0]] += 1;
    }
    assert!((1_800..2_200).contains(&counts[1]), "a half: {counts:?}");
    assert!([0, 2, 3].iter().all(|index| (500..900).contains(&counts[*index])), "{counts:?}");
}

fn home(tenant: u64, servers: &[usize]) -> usize {
    let look = |index: usize| well(servers[index]);
    servers[Turn::new(Balance::Tenant, 0, Some(mix(tenant))).next(servers.len(), look).unwrap()]
}

#[test]
fn tenants_are_spread_evenly() {
    let mut counts = [0; 5];
    for tenant in 0..5_000 {
        counts[home(tenant, &[0, 1, 2, 3, 4])] += 1;
    }
    assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
}

#[test]
fn a_tenant_whose_server_has_too_much_goes_elsewhere() {
    let tenant = mix(7);
    let own = home(7, &[0, 1, 2]);
    let next = |load| {
        let look = move |index| Standing { load: if index == own { load } else { 0 }, ..well(index) };
        all(Turn::new(Balance::Tenant, 0, Some(tenant)), 3, look)[0]
    };
    assert_eq!(next(BOUND_LEAST - 1), own);
    assert_ne!(next(BOUND_LEAST), own);
    let busy = |index| Standing { load: if index == own { 110 } else { 100 }, ..well(index) };
    assert_eq!(
        all(Turn::new(Balance::Tenant, 0, Some(tenant)), 3, busy)[0],
        own,
        "not far more than the others"
    );
}

#[test]
fn without_a_tenant_servers_take_turns() {
    let first = |ticket| all(Turn::new(Balance::Tenant, ticket, None), 3, well)[0];
    assert_eq!([0, 1, 2, 3].map(first), [0, 1, 2, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_server_is_tried_once_whatever_is_known(
        servers in 0_usize..64, ticket: u64, down: u64, tenant: Option<u64>, loads in prop::array::uniform32(0_usize..100)
    ) {
        for balance in Balance::ALL {
            let look = |index: usize| Standing { load: loads[index % 32], ..without(down)(index) };
            let mut tried = all(Turn::new(balance, ticket, tenant), servers, look);
            let well_ones = tried.iter().take_while(|index| (down >> **index) & 1 == 0).count();
            prop_assert!(tried.iter().skip(well_ones).all(|index| (down >> *index) & 1 == 1));
            tried.sort_unstable();
            prop_assert!(tried.into_iter().eq(0..servers));
        }
    }

    /// Only the tenants of the server that left move, and only to the one that comes do others.
    #[test]
    fn a_server_that_leaves_or_comes_moves_its_own_tenants_only(servers in 2_usize..12, gone in 0_usize..12) {
        let gone = gone % servers;
        let before: Vec<_> = (0..servers).collect();
        let after: Vec<_> = (0..servers).filter(|index| *index != gone).collect();
        let mut moved = 0;
        for tenant in 0..600 {
            let (then, now) = (home(tenant, &before), home(tenant, &after));
            if then == gone { moved += 1 } else { prop_assert_eq!(then, now) }
        }
        let part = 600 / servers;
        prop_assert!(moved < part * 2 && moved > part / 3, "{} of {}", moved, part);
    }
}
