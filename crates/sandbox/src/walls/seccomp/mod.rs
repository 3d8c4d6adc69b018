//! The filter on system calls. [`policy`] says which are refused.

mod policy;

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter, sock_filter,
};

use policy::{ABSENT, If, REFUSED, REFUSED_IF, UNSUPPORTED_IF};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters, ready to be put up by any number of processes.
#[derive(Debug, Clone)]
pub(crate) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Compiles the policy.
    ///
    /// # Errors
    /// This is a kind of machine for which there are no filters.
    pub(crate) fn compile() -> io::Result<Self> {
        let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
        // Each of these also kills whoever makes calls in another machine's way, which would have
        // other numbers. The first is put up last: it checks no less than the others' own calls.
        let mut filters = vec![
            filter(with(all(REFUSED), REFUSED_IF)?, libc::EPERM, machine)?,
            filter(all(ABSENT), libc::ENOSYS, machine)?,
            filter(with(Rules::new(), UNSUPPORTED_IF)?, libc::EOPNOTSUPP, machine)?,
        ];
        if machine == TargetArch::x86_64 {
            filters.push(no_other_numbers());
        }
        Ok(Self(filters))
    }

    /// Puts the filters up, for this process and all that it will start.
    pub(crate) fn put_up(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|filter| apply_filter(filter).map_err(io::Error::other))
    }
}

fn filter(rules: Rules, errno: i32, machine: TargetArch) -> io::Result<BpfProgram> {
    let action = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, machine);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

fn all(groups: &[(&str, &[libc::c_long])]) -> Rules {
    groups.iter().flat_map(|(_, calls)| calls.iter()).map(|call| (*call, Vec::new())).collect()
}

fn with(mut rules: Rules, conditional: &[(libc::c_long, &[If])]) -> io::Result<Rules> {
    for (call, conditions) in conditional {
        let conditions = conditions.iter().map(|condition| condition.compile()).collect::<Result<_, _>>();
        let rule = conditions.and_then(SeccompRule::new).map_err(io::Error::other)?;
        rules.entry(*call).or_default().push(rule);
    }
    Ok(rules)
}

impl If {
    fn compile(self) -> Result<SeccompCondition, seccompiler::BackendError> {
        let (argument, operator, value) = match self {
            Self::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
            Self::Not(argument, value) => (argument, SeccompCmpOp::Ne, value),
            Self::Has(argument, bits) => (argument, SeccompCmpOp::MaskedEq(bits), bits),
            Self::Masked(argument, mask, value) => (argument, SeccompCmpOp::MaskedEq(mask), value),
        };
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    }
}

// A kernel for x86-64 may take each call by a second number too (x32), with this bit set.
fn no_other_numbers() -> BpfProgram {
    const SECOND_NUMBERS: u32 = 0x4000_0000;
    let statement = |code: u32, k| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let number = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0);
    let is_second = sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16,
        jt: 0,
        jf: 1,
        k: SECOND_NUMBERS,
    };
    let kill = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS);
    let allow = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);
    vec![number, is_second, kill, allow]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_has_two_rules_by_mistake() {
        let count =
            |groups: &[(&str, &[libc::c_long])]| groups.iter().map(|(_, calls)| calls.len()).sum::<usize>();
        assert_eq!(all(REFUSED).len(), count(REFUSED));
        assert_eq!(all(ABSENT).len(), count(ABSENT));
        let conditional = REFUSED_IF.iter().map(|(call, _)| *call);
        assert!(conditional.clone().all(|call| !all(REFUSED).contains_key(&call)));
    }

    #[test]
    fn the_policy_compiles() {
        let filters = Filters::compile().unwrap();
        // A program of the kernel's has 4,096 instructions at most.
        assert!(filters.0.iter().all(|filter| filter.len() < 2_000));
    }
}
