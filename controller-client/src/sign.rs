//! The controller's half: a configuration's dictionary cut into signed chunks (protocol specification 12.4).

use protocol::network_config::{ChunkSignature, ConfigChunk, MAX_CHUNK_DATA};
use protocol::{NetworkId, SecretIdentity, Signature};

/// Cuts `dictionary` into chunks of at most [`MAX_CHUNK_DATA`] bytes and signs each.
///
/// `update_id` names this issue of the configuration and must not be 0; `propagate` asks members to pass the chunks on.
/// An empty dictionary, or one beyond the wire's 32-bit lengths, yields no chunks.
pub fn sign_chunks(
    controller: &SecretIdentity,
    network: NetworkId,
    dictionary: &[u8],
    update_id: u64,
    propagate: bool,
) -> Vec<ConfigChunk> {
    let Ok(total_length) = u32::try_from(dictionary.len()) else {
        return Vec::new();
    };
    let starts = (0..total_length).step_by(MAX_CHUNK_DATA);
    let slices = dictionary.chunks(MAX_CHUNK_DATA);
    starts
        .zip(slices)
        .map(|(index, data)| {
            let mut chunk = ConfigChunk {
                network,
                data: data.to_vec(),
                signed: Some(ChunkSignature {
                    flags: if propagate {
                        ChunkSignature::PROPAGATE
                    } else {
                        0
                    },
                    update_id,
                    total_length,
                    index,
                    signature: Signature([0; 96]),
                }),
            };
            let signature = controller.sign(&chunk.signed_bytes());
            if let Some(signed) = &mut chunk.signed {
                signed.signature = signature;
            }
            chunk
        })
        .collect()
}
