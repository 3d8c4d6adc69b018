//! What the process kind does beyond the contract, with programs that misbehave.

mod bridge;
mod burdens;
mod commands;
mod descendants;
mod hosts;
mod limits;
mod network;
mod official_sdk;
mod ready;
mod starting;
mod surroundings;
mod walls;
