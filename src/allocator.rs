//! Where the program's memory comes from: small pieces from mimalloc, which keeps pieces of one size and one thread together; large
//! ones from the C library, which gives them back to the system as soon as they are freed (`build/allocator.c`). SQLite asks the C
//! library for all of its own.
#![allow(unsafe_code)] // The trait is unsafe; nothing here is but calls of what implements it.

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

#[global_allocator]
static ALLOCATOR: BySize = BySize;

/// Octets of the largest small piece. mimalloc has eight or more of these side by side, in pages of 64 KiB.
const SMALL: usize = 8 * 1024;

struct BySize;

fn is_small(size: usize) -> bool {
    size <= SMALL
}

// SAFETY: a piece's size says whose it is, and the caller must name that size when the piece is freed or grows.
unsafe impl GlobalAlloc for BySize {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            if is_small(layout.size()) {
                MiMalloc.alloc(layout)
            } else {
                System.alloc(layout)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe {
            if is_small(layout.size()) {
                MiMalloc.alloc_zeroed(layout)
            } else {
                System.alloc_zeroed(layout)
            }
        }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        unsafe {
            if is_small(layout.size()) {
                MiMalloc.dealloc(piece, layout)
            } else {
                System.dealloc(piece, layout)
            }
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            match (is_small(layout.size()), is_small(size)) {
                (true, true) => MiMalloc.realloc(piece, layout, size),
                (false, false) => System.realloc(piece, layout, size),
                _ => self.move_to(piece, layout, size),
            }
        }
    }
}

impl BySize {
    /// A piece that is the other one's from now on.
    ///
    /// # Safety
    /// As for `realloc`.
    unsafe fn move_to(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(piece, new, layout.size().min(size));
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in a piece stays in it, whichever of the two it goes to.
    #[test]
    fn a_piece_moves_over_the_limit_and_back() {
        let mut octets: Vec<u8> = Vec::new();
        let written = |n: usize| (n % 251) as u8;
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
        assert!(
            vec![0u8; SMALL]
                .iter()
                .chain(&vec![0u8; SMALL + 1])
                .all(|octet| *octet == 0)
        );
    }
}
