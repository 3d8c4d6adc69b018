//! The host: sessions that live while busy.
