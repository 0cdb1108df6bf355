//! Vector instructions: finding the bytes that end a run of plain text, 64 at a time.
//!
//! One binary runs on every machine: which instructions there are is asked when a decoder is made.
//! All the code that loops over bytes is generic over a [`Kernel`] and is compiled once for each,
//! with the kernel's instructions allowed throughout: that is what [`Kernel::run`] is for. This
//! file and `text_array` in `arrays.rs` have all of the decoder's `unsafe`.

/// Bytes that are looked at in one step.
pub(crate) const BLOCK: usize = 64;

/// The instructions that a decoder uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    /// Any machine: eight bytes in a 64-bit word.
    Portable,
    /// Any x86-64: 16 bytes.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// x86-64 with AVX2, BMI and POPCNT (since 2013): 32 bytes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Cpu {
    /// All that this machine has, the best one last.
    pub fn available() -> Vec<Cpu> {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = Avx2::detected().map(|_token| Cpu::Avx2);
            [Cpu::Portable, Cpu::Sse2].into_iter().chain(avx2).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Cpu::Portable]
    }

    /// The best that this machine has.
    pub fn best() -> Cpu {
        Cpu::available().pop().unwrap_or(Cpu::Portable)
    }

    /// Runs a task with these instructions, or with portable ones where this machine lacks them.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        #[cfg(target_arch = "x86_64")]
        match (self, Avx2::detected()) {
            (Cpu::Avx2, Some(avx2)) => return avx2.run(task),
            (Cpu::Sse2, _) => return Sse2.run(task),
            _ => {}
        }
        Portable.run(task)
    }
}

/// Something to do that is compiled for each kernel; `with` must be `#[inline(always)]`.
pub(crate) trait Task {
    /// What comes of it.
    type Output;

    /// Does it.
    fn with<K: Kernel>(self, kernel: K) -> Self::Output;
}

/// One set of instructions, as a token: who holds it may use them.
pub(crate) trait Kernel: Copy {
    /// Which bytes are no plain text within a JSON string: quotes, backslashes and control
    /// characters; bit i is byte i.
    fn specials(self, block: &[u8; BLOCK]) -> u64;

    /// Runs a task as a function of its own that is compiled for these instructions.
    fn run<T: Task>(self, task: T) -> T::Output;
}

/// Eight bytes in a 64-bit word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn specials(self, block: &[u8; BLOCK]) -> u64 {
        let (words, _) = block.as_chunks::<8>();
        let masks = words.iter().map(|word| specials_of_word(u64::from_le_bytes(*word)));
        masks.enumerate().fold(0, |mask, (index, eight)| mask | eight << (8 * index))
    }

    #[inline(never)]
    fn run<T: Task>(self, task: T) -> T::Output {
        task.with(self)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// [`Kernel::specials`] of eight bytes.
#[inline(always)]
fn specials_of_word(word: u64) -> u64 {
    let control = zeros(word & (ONES * 0xe0));
    let quote = zeros(word ^ (ONES * u64::from(b'"')));
    let backslash = zeros(word ^ (ONES * u64::from(b'\\')));
    // Bit 7 of byte i goes to bit 56 + i: no two products meet in one bit.
    let flags = (control | quote | backslash) >> 7;
    flags.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Bit 7 of each byte that is zero; exact, for nothing is carried from one byte to the next.
#[inline(always)]
fn zeros(word: u64) -> u64 {
    !(((word & !HIGHS) + !HIGHS) | word) & HIGHS
}

#[cfg(target_arch = "x86_64")]
pub(crate) use self::x86::{Avx2, Sse2};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8,
        _mm_or_si128, _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8,
        _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
    };

    use super::{BLOCK, Kernel, Task};

    /// 16 bytes, on any x86-64.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Sse2;

    impl Kernel for Sse2 {
        #[inline(always)]
        fn specials(self, block: &[u8; BLOCK]) -> u64 {
            let (halves, _) = block.as_chunks::<16>();
            let masks = halves.iter().map(specials_of_sixteen);
            masks.enumerate().fold(0, |mask, (index, half)| mask | half << (16 * index))
        }

        #[inline(never)]
        fn run<T: Task>(self, task: T) -> T::Output {
            task.with(self)
        }
    }

    #[inline(always)]
    fn specials_of_sixteen(quarter: &[u8; 16]) -> u64 {
        // SAFETY: x86-64 always has SSE2, and the unaligned load reads 16 bytes.
        unsafe {
            let bytes = _mm_loadu_si128(quarter.as_ptr().cast::<__m128i>());
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x22));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x5c));
            let special = _mm_or_si128(control, _mm_or_si128(quote, backslash));
            u64::from(_mm_movemask_epi8(special) as u32)
        }
    }

    /// 32 bytes; the token exists only where the instructions do.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        /// The token, if this machine has the instructions.
        pub(crate) fn detected() -> Option<Self> {
            let has = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            has.then_some(Avx2(()))
        }
    }

    impl Kernel for Avx2 {
        #[inline(always)]
        fn specials(self, block: &[u8; BLOCK]) -> u64 {
            // No closure here: it would be a function of its own, without these instructions.
            let (halves, _) = block.as_chunks::<32>();
            specials_of_half(self, &halves[0]) | specials_of_half(self, &halves[1]) << 32
        }

        fn run<T: Task>(self, task: T) -> T::Output {
            // SAFETY: a token proves that the machine has the instructions.
            unsafe { run_with_avx2(self, task) }
        }
    }

    #[inline(always)]
    fn specials_of_half(_token: Avx2, half: &[u8; 32]) -> u64 {
        // SAFETY: a token proves that the machine has AVX2, and the unaligned load reads 32 bytes.
        unsafe {
            let bytes = _mm256_loadu_si256(half.as_ptr().cast::<__m256i>());
            let low = _mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f));
            let control = _mm256_cmpeq_epi8(low, bytes);
            let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x22));
            let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x5c));
            let special = _mm256_or_si256(control, _mm256_or_si256(quote, backslash));
            u64::from(_mm256_movemask_epi8(special) as u32)
        }
    }

    #[inline(never)]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn run_with_avx2<T: Task>(kernel: Avx2, task: T) -> T::Output {
        task.with(kernel)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Specials<'b>(&'b [u8; BLOCK]);

    impl Task for Specials<'_> {
        type Output = u64;

        #[inline(always)]
        fn with<K: Kernel>(self, kernel: K) -> u64 {
            kernel.specials(self.0)
        }
    }

    fn reference(block: &[u8; BLOCK]) -> u64 {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        (0..BLOCK).filter(|i| special(&block[*i])).fold(0, |mask, i| mask | 1 << i)
    }

    #[test]
    fn every_byte_in_every_place_is_told_apart_by_every_cpu() {
        for cpu in Cpu::available() {
            for byte in 0..=255 {
                for place in 0..BLOCK {
                    for others in [b'a', b' ', b'!', b'#', b'[', 0x7f, 0x80, 0xff, b'"'] {
                        let mut block = [others; BLOCK];
                        block[place] = byte;
                        let expected = reference(&block);
                        assert_eq!(cpu.run(Specials(&block)), expected, "{cpu:?} {block:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_told_apart_by_every_cpu(
            bytes in prop::collection::vec(any::<u8>(), BLOCK),
        ) {
            let block: [u8; BLOCK] = bytes.try_into().unwrap();
            for cpu in Cpu::available() {
                prop_assert_eq!(cpu.run(Specials(&block)), reference(&block), "{:?}", cpu);
            }
        }
    }
}
