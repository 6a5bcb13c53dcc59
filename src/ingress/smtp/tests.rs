use super::*;

/// Ten thousand idle connections cost ten thousand times this, and the sockets.
#[test]
fn the_task_of_a_connection_is_small() {
    fn size_of_output<T, F: Future>(_: fn(T, Stream) -> F) -> usize {
        size_of::<F>()
    }
    let size = size_of_output(converse);
    assert!(size < 4096, "{size} octets");
}
