//! Packet filter rules, as data. They read as `nft` writes them.

use std::io;
use std::net::Ipv4Addr;

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::nftables::{
    Bitwise, ChainAttribute, ChainMessage, Cmp, DataAttribute, ExpressionAttribute, Expressions, Hook,
    HookNumber, Immediate, InetHookNumber, ListAttribute, Meta, MetaKey, NfTablesMessage, Operator, Payload,
    Register, RuleAttribute, RuleMessage, TableAttribute, TableMessage, Verdict, VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::netlink::Netlink;

/// A network: an address and the length of its prefix.
pub(super) type Net = (Ipv4Addr, u8);

/// One rule: what must hold of a packet, and what becomes of it then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rule(Vec<ListAttribute<ExpressionAttribute>>);

/// A chain of rules at a hook. What no rule decides is accepted.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// `filter` or `nat`.
    pub(super) kind: &'static str,
    pub(super) hook: InetHookNumber,
    pub(super) priority: i32,
    pub(super) rules: Vec<Rule>,
}

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `oifname NAME`.
    pub(super) fn leaving_by(self, name: &str) -> Self {
        let mut padded = [0; libc::IFNAMSIZ];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        self.meta(MetaKey::Oifname, Operator::Equal, &padded)
    }

    /// `oifname "PREFIX*"`.
    pub(super) fn leaving_by_any(self, prefix: &str) -> Self {
        self.meta(MetaKey::Oifname, Operator::Equal, prefix.as_bytes())
    }

    /// `oifname != "PREFIX*"`.
    pub(super) fn leaving_by_none(self, prefix: &str) -> Self {
        self.meta(MetaKey::Oifname, Operator::NotEqual, prefix.as_bytes())
    }

    /// `iifname "PREFIX*"`.
    pub(super) fn coming_from_any(self, prefix: &str) -> Self {
        self.meta(MetaKey::Iifname, Operator::Equal, prefix.as_bytes())
    }

    /// `meta nfproto ipv6`.
    pub(super) fn ipv6(self) -> Self {
        self.meta(MetaKey::Nfproto, Operator::Equal, &[libc::NFPROTO_IPV6 as u8])
    }

    /// `ip daddr NET`.
    pub(super) fn to(self, net: Net) -> Self {
        self.address(16, net, Operator::Equal)
    }

    /// `ip saddr NET`.
    pub(super) fn from(self, net: Net) -> Self {
        self.address(12, net, Operator::Equal)
    }

    /// `ip saddr != NET`.
    pub(super) fn not_from(self, net: Net) -> Self {
        self.address(12, net, Operator::NotEqual)
    }

    /// `th dport != PORT`.
    pub(super) fn not_to_port(self, port: u16) -> Self {
        const TRANSPORT_HEADER: u32 = 2;
        const DESTINATION: u32 = 2;
        self.with(Expressions::Payload(vec![
            Payload::DestinationRegister(Register::Reg1),
            Payload::Base(TRANSPORT_HEADER),
            Payload::Offset(DESTINATION),
            Payload::Len(2),
        ]))
        .compared(Operator::NotEqual, &port.to_be_bytes())
    }

    /// `ct state established,related`.
    pub(super) fn of_a_known_connection(self) -> Self {
        const DESTINATION: u16 = 1;
        const KEY: u16 = 2;
        const STATE: u32 = 0;
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        let attributes = vec![number(DESTINATION, Register::Reg1.into()), number(KEY, STATE)];
        self.with(Expressions::Other { expression_type: "ct".to_owned(), attributes })
            .masked(&ESTABLISHED_OR_RELATED.to_ne_bytes())
            .compared(Operator::NotEqual, &[0; 4])
    }

    pub(super) fn accept(self) -> Self {
        self.verdict(libc::NF_ACCEPT as u32)
    }

    pub(super) fn drop(self) -> Self {
        self.verdict(libc::NF_DROP as u32)
    }

    /// `reject with icmpx admin-prohibited`: whoever connects hears at once that it is in vain.
    pub(super) fn reject(self) -> Self {
        const TYPE: u16 = 1;
        const CODE: u16 = 2;
        const ICMPX_UNREACHABLE: u32 = 2;
        const ADMIN_PROHIBITED: u8 = 3;
        let attributes = vec![number(TYPE, ICMPX_UNREACHABLE), DefaultNla::new(CODE, vec![ADMIN_PROHIBITED])];
        self.with(Expressions::Other { expression_type: "reject".to_owned(), attributes })
    }

    /// `masquerade`.
    pub(super) fn masquerade(self) -> Self {
        self.with(Expressions::Other { expression_type: "masq".to_owned(), attributes: Vec::new() })
    }

    fn with(mut self, expression: Expressions) -> Self {
        self.0.push(expression.into());
        self
    }

    fn meta(self, key: MetaKey, operator: Operator, value: &[u8]) -> Self {
        self.with(Expressions::Meta(vec![Meta::DestinationRegister(Register::Reg1), Meta::Key(key)]))
            .compared(operator, value)
    }

    fn address(self, offset: u32, (address, prefix): Net, operator: Operator) -> Self {
        const NETWORK_HEADER: u32 = 1;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or_default();
        self.meta(MetaKey::Nfproto, Operator::Equal, &[libc::NFPROTO_IPV4 as u8])
            .with(Expressions::Payload(vec![
                Payload::DestinationRegister(Register::Reg1),
                Payload::Base(NETWORK_HEADER),
                Payload::Offset(offset),
                Payload::Len(4),
            ]))
            .masked(&mask.to_be_bytes())
            .compared(operator, &(address.to_bits() & mask).to_be_bytes())
    }

    fn masked(self, mask: &[u8; 4]) -> Self {
        self.with(Expressions::Bitwise(vec![
            Bitwise::SourceRegister(Register::Reg1),
            Bitwise::DestinationRegister(Register::Reg1),
            Bitwise::Length(4),
            Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
            Bitwise::Xor(DataAttribute::Value(vec![0; 4])),
        ]))
    }

    fn compared(self, operator: Operator, value: &[u8]) -> Self {
        self.with(Expressions::Cmp(vec![
            Cmp::SourceRegister(Register::Reg1),
            Cmp::Op(operator),
            Cmp::Data(DataAttribute::Value(value.to_vec())),
        ]))
    }

    fn verdict(self, code: u32) -> Self {
        let verdict = vec![VerdictAttribute::Code(Verdict::Other(code))];
        self.with(Expressions::Immediate(vec![
            Immediate::DestinationRegister(Register::Verdict),
            Immediate::Data(DataAttribute::Verdict(verdict)),
        ]))
    }
}

/// Puts a table with these chains in place, all at once, where there is none of its name.
pub(super) fn install(table: &str, chains: &[Chain]) -> io::Result<()> {
    make(table, chains, vec![(NfTablesMessage::NewTable(named(table)), NLM_F_CREATE | NLM_F_EXCL)])
}

/// The same, where one of its name makes way for it. What is removed makes the next that closes such
/// a conversation wait some ten milliseconds.
pub(super) fn replace(table: &str, chains: &[Chain]) -> io::Result<()> {
    // Made before it is removed, so that removing it cannot fail for want of it.
    let first = vec![
        (NfTablesMessage::NewTable(named(table)), NLM_F_CREATE),
        (NfTablesMessage::DeleteTable(named(table)), 0),
        (NfTablesMessage::NewTable(named(table)), NLM_F_CREATE),
    ];
    make(table, chains, first)
}

fn make(table: &str, chains: &[Chain], mut changes: Vec<(NfTablesMessage, u16)>) -> io::Result<()> {
    for chain in chains {
        changes.push((chain.message(table), NLM_F_CREATE));
        let rules = chain.rules.iter().map(|rule| rule.message(table, chain.name));
        changes.extend(rules.map(|rule| (rule, NLM_F_CREATE | NLM_F_APPEND)));
    }
    if let Some((_, flags)) = changes.last_mut() {
        *flags |= NLM_F_ACK;
    }
    let inet = |(change, flags)| {
        (NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), change), flags)
    };
    let mut batch = vec![(boundary(ControlMessage::BatchBegin), 0)];
    batch.extend(changes.into_iter().map(inet));
    batch.push((boundary(ControlMessage::BatchEnd), 0));
    Netlink::open(NETLINK_NETFILTER)?.change_all(batch)
}

fn named(table: &str) -> TableMessage {
    TableMessage { attributes: vec![TableAttribute::Name(table.to_owned())] }
}

/// Whether there is a table of this name.
pub(super) fn exists(table: &str) -> io::Result<bool> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    let asked = NetfilterMessage::new(header, NfTablesMessage::GetTable(named(table)));
    match Netlink::open(NETLINK_NETFILTER)?.change(asked, 0) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Chain {
    fn message(&self, table: &str) -> NfTablesMessage {
        let hook = Hook::Number(HookNumber::Inet(self.hook));
        NfTablesMessage::NewChain(ChainMessage {
            attributes: vec![
                ChainAttribute::Table(table.to_owned()),
                ChainAttribute::Name(self.name.to_owned()),
                ChainAttribute::Hook(vec![hook, Hook::Priority(self.priority.cast_unsigned())]),
                ChainAttribute::Policy(libc::NF_ACCEPT as u32),
                ChainAttribute::Type(self.kind.to_owned()),
            ],
        })
    }
}

impl Rule {
    fn message(&self, table: &str, chain: &str) -> NfTablesMessage {
        NfTablesMessage::NewRule(RuleMessage {
            attributes: vec![
                RuleAttribute::Table(table.to_owned()),
                RuleAttribute::Chain(chain.to_owned()),
                RuleAttribute::Expressions(self.0.clone()),
            ],
        })
    }
}

fn boundary(control: ControlMessage) -> NetfilterMessage {
    let subsystem = libc::NFNL_SUBSYS_NFTABLES as u16;
    NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, subsystem), control)
}

fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}
