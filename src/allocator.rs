//! Where the program's memory comes from: small pieces from mimalloc, which keeps pieces of one size and one thread together; large
//! ones from the C library, which gives them back to the system as soon as they are freed (`build/allocator.c`). SQLite asks the C
//! library for all of its own.
#![allow(unsafe_code)] // The trait is, and nothing here is but calls of what implements it.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

#[global_allocator]
static ALLOCATOR: BySize = BySize;

/// Octets of the largest small piece. mimalloc puts eight or more of these side by side, in pages of 64 KiB.
const SMALL: usize = 8 * 1024;

struct BySize;

fn is_small(size: usize) -> bool {
    size <= SMALL
}

// SAFETY: a piece's size says whose it is, and whoever frees it or has it grow must say that size.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_small(layout.size()) {
            true => unsafe { MiMalloc.alloc(layout) },
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match is_small(layout.size()) {
            true => unsafe { MiMalloc.alloc_zeroed(layout) },
            false => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match is_small(layout.size()) {
            true => unsafe { MiMalloc.dealloc(piece, layout) },
            false => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_small(layout.size()), is_small(size)) {
            (true, true) => unsafe { MiMalloc.realloc(piece, layout, size) },
            (false, false) => unsafe { System.realloc(piece, layout, size) },
            // From one to the other.
            _ => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    ptr::copy_nonoverlapping(piece, new, layout.size().min(size));
                    self.dealloc(piece, layout);
                }
                new
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in a piece stays in it, whichever of the two it goes to.
    #[test]
    fn a_piece_crosses_the_limit_and_comes_back() {
        let written = |n: usize| (n % 251) as u8;
        let mut octets = Vec::new();
        for n in 0..SMALL * 3 {
            octets.push(written(n));
        }
        for kept in [SMALL * 2, SMALL + 1, SMALL, SMALL - 1, 1] {
            octets.truncate(kept);
            octets.shrink_to_fit();
            assert!(
                octets
                    .iter()
                    .enumerate()
                    .all(|(n, octet)| *octet == written(n)),
                "{kept}"
            );
        }
    }

    #[test]
    fn pieces_are_aligned_and_zeroed() {
        for align in (0..13).map(|power| 1 << power) {
            for size in [1, 24, 1000, SMALL, SMALL + 1] {
                let layout = Layout::from_size_align(size, align).unwrap();
                // Twice: the second time perhaps what was freed.
                for _ in 0..2 {
                    let piece = unsafe { ALLOCATOR.alloc_zeroed(layout) };
                    assert_eq!(piece.align_offset(align), 0, "{layout:?}");
                    let octets = unsafe { std::slice::from_raw_parts_mut(piece, size) };
                    assert!(octets.iter().all(|octet| *octet == 0), "{layout:?}");
                    octets.fill(1);
                    let piece = unsafe { ALLOCATOR.realloc(piece, layout, size * 2) };
                    assert_eq!(piece.align_offset(align), 0, "{layout:?}");
                    let layout = Layout::from_size_align(size * 2, align).unwrap();
                    unsafe { ALLOCATOR.dealloc(piece, layout) };
                }
            }
        }
    }
}
