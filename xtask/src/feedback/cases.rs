//! What is tried: which engine, what the gateway is told of it, and what should come of it.

/// One engine, and the cases that are tried on it.
pub struct Setting {
    /// Flags of the engine beyond those of `conformance/vllm/serve.sh`.
    pub engine: &'static [&'static str],
    /// Its answers do not say what was cached.
    pub is_silent: bool,
    /// It is ended in the middle of each case, and started again at its address.
    pub restarts: bool,
    /// Tried one after another.
    pub cases: &'static [Case],
}

/// What the gateway is told of the engine, and what should come of it.
#[derive(Clone, Copy)]
pub struct Case {
    /// For people; unique.
    pub name: &'static str,
    /// A further key of the pool, where there is one.
    pub pool: &'static str,
    /// The gateway reaches the engine's API only, not its metrics: `conformance/door.py`.
    pub is_behind_door: bool,
    /// What should come of it.
    pub claim: Claim,
}

/// What feedback should do to the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It shrinks to a third at most.
    Shrinks,
    /// What is told is right, so that little is left to learn: nothing is claimed.
    Nothing,
}

/// Tokens of all conversations together: three times the small device, three quarters of the
/// large one, and of the small one with its tier.
pub const CYCLE_TOKENS: u32 = 98_304;

/// 32,768 tokens in blocks of 32. Without it, an engine holds 131,072 tokens.
const SMALL_DEVICE: &str = "--num-gpu-blocks-override=1024";
/// 4,096 blocks of 16 KiB: 131,072 tokens, of which the device's are a copy.
const HOST_TIER: &str = concat!(
    "--kv-transfer-config={\"kv_connector\":\"OffloadingConnector\",\"kv_role\":\"kv_both\",",
    "\"kv_connector_extra_config\":{\"spec_name\":\"HostTier\",\"spec_module_path\":\"host_tier\",",
    "\"cpu_bytes_to_use\":67108864}}"
);
/// Its answers do not say what was cached.
const SILENT: &str = "--no-enable-prompt-tokens-details";

const EIGHT_DEVICES: &str = "capacity_tokens: 262144";
const LARGE_DEVICE: &str = "capacity_tokens: 131072";
/// What the tier adds to the device.
const TIER: &str = "host_tier_tokens: 98304";

/// All of them, in the order of the table.
pub const SETTINGS: [Setting; 5] = [
    Setting {
        engine: &[SMALL_DEVICE],
        is_silent: false,
        restarts: false,
        cases: &[
            Case::of("eviction, size not readable").through_door(),
            Case::of("eviction, declared 8 times too large").told(EIGHT_DEVICES),
            Case::of("eviction, size as scraped").nothing_claimed(),
        ],
    },
    Setting {
        engine: &[SMALL_DEVICE, SILENT],
        is_silent: true,
        restarts: false,
        cases: &[Case::of("8 times too large, from counters").told(EIGHT_DEVICES)],
    },
    Setting {
        engine: &[SMALL_DEVICE, HOST_TIER],
        is_silent: false,
        restarts: false,
        cases: &[
            Case::of("host tier, undeclared"),
            Case::of("host tier, declared").told(TIER).nothing_claimed(),
        ],
    },
    Setting {
        engine: &[SMALL_DEVICE, HOST_TIER, SILENT],
        is_silent: true,
        restarts: false,
        cases: &[Case::of("undeclared tier, from counters")],
    },
    Setting {
        engine: &[],
        is_silent: false,
        restarts: true,
        cases: &[
            Case::of("restart, metrics not readable")
                .told(LARGE_DEVICE)
                .through_door(),
            Case::of("restart, seen in the metrics").nothing_claimed(),
        ],
    },
];

impl Case {
    const fn of(name: &'static str) -> Case {
        Case {
            name,
            pool: "",
            is_behind_door: false,
            claim: Claim::Shrinks,
        }
    }

    const fn told(self, pool: &'static str) -> Case {
        Case { pool, ..self }
    }

    const fn through_door(self) -> Case {
        Case {
            is_behind_door: true,
            ..self
        }
    }

    const fn nothing_claimed(self) -> Case {
        Case {
            claim: Claim::Nothing,
            ..self
        }
    }
}
