//! Which system calls are refused, and why. What is not named here is allowed: agents are arbitrary
//! programs, and the list of what they may do would be the list of nearly everything.

use libc::c_long;

/// Calls that are refused (`EPERM`), in groups that have one reason.
pub(super) const REFUSED: &[(&str, &[c_long])] = &[
    (
        "mounts are the mount wall's own material",
        &[
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fspick,
            libc::SYS_mount_setattr,
            OPEN_TREE_ATTR,
            libc::SYS_swapon,
            libc::SYS_swapoff,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
        ],
    ),
    ("a namespace that is entered is a way around the others", &[libc::SYS_setns]),
    (
        "the kernel itself: other code in it, or programs that run in it",
        &[
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_reboot,
            libc::SYS_acct,
            libc::SYS_syslog,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clock_adjtime,
            libc::SYS_vhangup,
            libc::SYS_nfsservctl,
        ],
    ),
    (
        "keyrings belong to users, not to namespaces",
        &[libc::SYS_add_key, libc::SYS_request_key, libc::SYS_keyctl],
    ),
    (
        "the memory and descriptors of other processes; a command could otherwise turn on its agent",
        &[
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
            libc::SYS_move_pages,
            libc::SYS_migrate_pages,
        ],
    ),
    (
        "files by handle instead of by path, and watching whole file systems",
        &[libc::SYS_open_by_handle_at, libc::SYS_name_to_handle_at, libc::SYS_fanotify_init],
    ),
    ("stopping the kernel at a place of one's choice makes its races easy", &[libc::SYS_userfaultfd]),
    #[cfg(target_arch = "x86_64")]
    (
        "the processor's ports and tables, and calls that nothing has needed for decades",
        &[
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_modify_ldt,
            libc::SYS_uselib,
            libc::SYS_ustat,
            libc::SYS_sysfs,
            libc::SYS__sysctl,
        ],
    ),
];

/// Calls that are answered as if this kernel did not have them (`ENOSYS`), so that programs fall back
/// on others.
pub(super) const ABSENT: &[(&str, &[c_long])] = &[
    ("its flags are in memory, where no filter sees them; clone does the same", &[libc::SYS_clone3]),
    (
        "it does what other calls do, past this filter, and has had many holes",
        &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register],
    ),
];

/// Since Linux 6.15, and not in libc yet; one number everywhere.
const OPEN_TREE_ATTR: c_long = 467;

/// Calls that are refused only with certain arguments: each row is a set of conditions that have to
/// hold together.
pub(super) const REFUSED_IF: &[(c_long, &[If])] = &[
    // New namespaces, which come with capabilities in them. (clone's are its first argument.)
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWUSER as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWNS as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWPID as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWNET as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWIPC as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWUTS as u64)]),
    (libc::SYS_clone, &[If::Has(0, libc::CLONE_NEWCGROUP as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWUSER as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWNS as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWPID as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWNET as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWIPC as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWUTS as u64)]),
    (libc::SYS_unshare, &[If::Has(0, libc::CLONE_NEWCGROUP as u64)]),
    (libc::SYS_unshare, &[If::Has(0, CLONE_NEWTIME)]),
    // Typing into a terminal as if from its keyboard, and the console's relative of it.
    (libc::SYS_ioctl, &[If::Is(1, libc::TIOCSTI)]),
    (libc::SYS_ioctl, &[If::Is(1, TIOCLINUX)]),
    // Families of sockets that agents have no use for, each a protocol of its own in the kernel.
    (
        libc::SYS_socket,
        &[
            If::Not(0, libc::AF_UNIX as u64),
            If::Not(0, libc::AF_INET as u64),
            If::Not(0, libc::AF_INET6 as u64),
            If::Not(0, libc::AF_NETLINK as u64),
        ],
    ),
    // Of the internet's protocols TCP, UDP and ping. Others are ways around what is decided by port (MPTCP, SMC,
    // SCTP), or old code (UDP-Lite).
    (libc::SYS_socket, &[If::Is(0, libc::AF_INET as u64), ANY, TCP, UDP, PING]),
    (libc::SYS_socket, &[If::Is(0, libc::AF_INET6 as u64), ANY, TCP, UDP, PING6]),
    // Pairs are made of Unix sockets.
    (libc::SYS_socketpair, &[If::Not(0, libc::AF_UNIX as u64)]),
    // Of netlink only routes: by them programs learn of interfaces and addresses.
    (libc::SYS_socket, &[If::Is(0, libc::AF_NETLINK as u64), If::Not(2, libc::NETLINK_ROUTE as u64)]),
    // Packets as they come.
    (
        libc::SYS_socket,
        &[If::Is(0, libc::AF_INET as u64), If::Masked(1, SOCKET_TYPES, libc::SOCK_RAW as u64)],
    ),
    (
        libc::SYS_socket,
        &[If::Is(0, libc::AF_INET6 as u64), If::Masked(1, SOCKET_TYPES, libc::SOCK_RAW as u64)],
    ),
    // A process of another kind, such as one without address randomisation. Asking is fine, and so
    // are the two that programs really are.
    (libc::SYS_personality, &[If::Not(0, 0), If::Not(0, PER_LINUX32), If::Not(0, ASK_FOR_PERSONALITY)]),
];

/// Calls that are answered with certain arguments as if the file system did not have them (`EOPNOTSUPP`).
pub(super) const UNSUPPORTED_IF: &[(c_long, &[If])] = &[
    // Space without writing to it: a disk would be full before init looks. Taking space back, and moving
    // what is there, remain.
    (libc::SYS_fallocate, &[If::Masked(1, TAKE_NO_SPACE, 0)]),
];

/// `FALLOC_FL_PUNCH_HOLE`, `_COLLAPSE_RANGE`, `_INSERT_RANGE` and `_UNSHARE_RANGE`.
const TAKE_NO_SPACE: u64 = 0x02 | 0x08 | 0x20 | 0x40;
const CLONE_NEWTIME: u64 = 0x80;
const TIOCLINUX: u64 = 0x541C;
/// The type of a socket without the flags that come with it.
const SOCKET_TYPES: u64 = 0xF;
/// Each but the default protocol of a family and type, and those of the name.
const ANY: If = If::Not(2, 0);
const TCP: If = If::Not(2, libc::IPPROTO_TCP as u64);
const UDP: If = If::Not(2, libc::IPPROTO_UDP as u64);
const PING: If = If::Not(2, libc::IPPROTO_ICMP as u64);
const PING6: If = If::Not(2, libc::IPPROTO_ICMPV6 as u64);
const PER_LINUX32: u64 = 8;
const ASK_FOR_PERSONALITY: u64 = 0xFFFF_FFFF;

/// A condition on an argument, of which the lower 32 bits count, as they do for the kernel.
#[derive(Debug, Clone, Copy)]
pub(super) enum If {
    /// It is this.
    Is(u8, u64),
    /// It is not.
    Not(u8, u64),
    /// These bits are set in it.
    Has(u8, u64),
    /// Of these bits, it has those.
    Masked(u8, u64, u64),
}
