/* Windows times a block of four rows on Helium:
 *
 *   sums[window][k] = sum_i x[window][i] w[k, i], modulo 2^32, for the rows k of the block
 *
 * The rows lie in memory as mq_mve_rows.h has them, the windows one behind the other, each as long as a row; where the
 * row is filled up with zeros, anything may stand in the window.
 *
 * Rows of up to four chunks stay in registers, two rows at a time, while all windows pass: a chunk of a window is one
 * load for two VMLADAVA. Longer ones are read anew for every window.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_BLOCKS_H
#define MQ_MVE_BLOCKS_H

#include "mq_mve_rows.h"

/* The lengths of a row in chunks by four, chunks and columns; elements of a row; how many windows are laid out at a
 * time. `resident`: chunks of a row that stay in registers, 0 where there are too many. A vector is read at the last
 * one of them, which reaches beyond the last window. */
typedef struct {
    uint32_t fours;
    uint32_t ones;
    uint32_t rest;
    uint32_t row;
    uint32_t windows;
    uint32_t resident;
} mq_patch;

/* For rows of `row` elements. */
static inline mq_patch mq_patch_of_row(uint32_t row, uint32_t chunk, uint32_t windows) {
    const uint32_t chunks = (row + chunk - 1u) / chunk;
    return (mq_patch){row / chunk / 4u, row / chunk % 4u, row % chunk, row, windows, chunks <= 4u ? chunks : 0u};
}

/* mq_windows_s8, mq_windows_s16: sums of `count` >= 1 windows with a block. In assembly where there is Helium, for the
 * reason that mq_mve_rows.h has; the same in intrinsics for the host. */
#if defined(__ARM_FEATURE_MVE)

/* Chunk `at` of a window with two rows. */
#define MQ_PAIR(load, at, mac, a, b)                                                                                   \
    load " q0, [%[x], #" at "]\n\t" mac " %[a], q0, " a "\n\t" mac " %[b], q0, " b "\n\t"
#define MQ_PAIR_1(load, type) MQ_PAIR(load, "0", "vmladav" type, "%q[a0]", "%q[b0]")
#define MQ_PAIR_2(load, type) MQ_PAIR_1(load, type) MQ_PAIR(load, "16", "vmladava" type, "%q[a1]", "%q[b1]")
#define MQ_PAIR_3(load, type) MQ_PAIR_2(load, type) MQ_PAIR(load, "32", "vmladava" type, "%q[a2]", "%q[b2]")

/* All windows with two rows, of one to three chunks in registers; with a fourth, of which there are no registers. */
#define MQ_PASS(body, more)                                                                                            \
    __asm__ volatile("dls lr, %[count]\n1:\n\t" body                                                                   \
                     "add %[x], %[x], %[step]\n\tstrd %[a], %[b], [%[sums]], #16\n\tle lr, 1b"                         \
                     : [a] "=&Te"(a), [b] "=&Te"(b), [x] "+r"(x), [sums] "+r"(sums)                                    \
                     : [count] "r"(count), [step] "r"(step), [a0] "w"(w[0]), [b0] "w"(w[1]), [a1] "w"(w[2]),           \
                       [b1] "w"(w[3]), [a2] "w"(w[4]), [b2] "w"(w[5]), [last] "l"(last)                                \
                     : "q0", more, "lr", "memory")

/* Two rows from `rows` on, the last chunk of which lies at `last`; three chunks are kept. */
#define MQ_RESIDENT(name, value, vector, load_row, lanes, load, type, load_last)                                       \
    MQ_OUT_OF_LINE void name##_pass(const value *x, uint32_t step, const int8_t *rows, const int8_t *last,             \
                                    uint32_t chunks, uint32_t count, int32_t *sums) {                                  \
        const int8_t *p0 = chunks > 1u ? rows : last;                                                                  \
        const int8_t *p1 = chunks > 2u ? rows + 4 * lanes : last;                                                      \
        const int8_t *p2 = chunks > 3u ? rows + 8 * lanes : last;                                                      \
        const vector w[6] = {load_row(p0),         load_row(p0 + lanes), load_row(p1),                                 \
                             load_row(p1 + lanes), load_row(p2),         load_row(p2 + lanes)};                        \
        int32_t a;                                                                                                     \
        int32_t b;                                                                                                     \
        if (chunks == 1u) {                                                                                            \
            MQ_PASS(MQ_PAIR_1(load, type), "cc");                                                                      \
        } else if (chunks == 2u) {                                                                                     \
            MQ_PASS(MQ_PAIR_2(load, type), "cc");                                                                      \
        } else if (chunks == 3u) {                                                                                     \
            MQ_PASS(MQ_PAIR_3(load, type), "cc");                                                                      \
        } else {                                                                                                       \
            MQ_PASS(MQ_PAIR_3(load, type) load " q0, [%[x], #48]\n\t" load_last " q1, [%[last]]\n\tvmladava" type      \
                                               " %[a], q0, q1\n\t" load_last " q1, [%[last], #" #lanes                 \
                                               "]\n\tvmladava" type " %[b], q0, q1\n\t",                               \
                    "q1");                                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    static inline void name(const mq_patch *n, const value *x, const int8_t *block, uint32_t count, int32_t *sums) {   \
        const uint32_t whole = 4u * n->fours + n->ones;                                                                \
        int8_t tail[4u * 16u]; /* the last chunk of four rows, with zeros behind */                                    \
        for (uint32_t k = 0; k < 4u && n->rest; k++) {                                                                 \
            const int8_t *row = block + whole * (4u * lanes) + k * n->rest;                                            \
            vstrbq_s8(tail + k * lanes, vldrbq_z_s8(row, vctp8q(n->rest)));                                            \
        }                                                                                                              \
        for (uint32_t k = 0; k < 4u; k += 2u) {                                                                        \
            const int8_t *last = n->rest ? tail + k * lanes : block + (n->resident - 1u) * (4u * lanes) + k * lanes;   \
            name##_pass(x, (uint32_t)(n->row * sizeof *x), block + k * lanes, last, n->resident, count, sums + k);     \
        }                                                                                                              \
    }

MQ_RESIDENT(mq_resident_s8, int8_t, int8x16_t, vldrbq_s8, 16, "vldrb.8", ".s8", "vldrb.8")
MQ_RESIDENT(mq_resident_s16, int16_t, int16x8_t, vldrbq_s16, 8, "vldrh.16", ".s16", "vldrb.s16")

/* The last columns of a window and of four rows; `twice`: how lr elements of the window are added to its address. */
#define MQ_REST(load_x, load_w, type, twice)                                                                           \
    load_x " q0, [%[x]]\n\tadd %[x], %[x], lr" twice "\n\t" load_w                                                     \
           " q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava" type " %[a], q0, q1\n\t" load_w                             \
           " q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava" type " %[b], q0, q1\n\t" load_w                             \
           " q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava" type " %[c], q0, q1\n\t" load_w                             \
           " q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava" type " %[d], q0, q1\n\t"

#define MQ_LONG_ROWS(name, value, chunk, wlstp, rest_columns)                                                          \
    MQ_OUT_OF_LINE void name(const mq_patch *n, const value *x, const int8_t *block, uint32_t count, int32_t *sums) {  \
        const int8_t *w;                                                                                               \
        int32_t a;                                                                                                     \
        int32_t b;                                                                                                     \
        int32_t c;                                                                                                     \
        int32_t d;                                                                                                     \
        __asm__ volatile(                                                                                              \
            "7:\n\tmov %[w], %[block]\n\tmov %[a], #0\n\tmov %[b], #0\n\tmov %[c], #0\n\tmov %[d], #0\n\t"             \
            "ldr lr, [%[n], %[fours]]\n\twls lr, lr, 2f\n1:\n\t" chunk chunk chunk chunk                               \
            "le lr, 1b\n2:\n\tldr lr, [%[n], %[ones]]\n\twls lr, lr, 4f\n3:\n\t" chunk                                 \
            "le lr, 3b\n4:\n\tldr lr, [%[n], %[rest]]\n\t" wlstp " lr, lr, 6f\n5:\n\t" rest_columns                    \
            "letp lr, 5b\n6:\n\tstrd %[a], %[b], [%[sums]], #8\n\tstrd %[c], %[d], [%[sums]], #8\n\t"                  \
            "subs %[count], #1\n\tbne 7b"                                                                              \
            : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "+r"(x), [w] "=&l"(w),                   \
              [sums] "+r"(sums), [count] "+r"(count)                                                                   \
            : [n] "r"(n), [block] "r"(block), [fours] "i"(offsetof(mq_patch, fours)),                                  \
              [ones] "i"(offsetof(mq_patch, ones)), [rest] "i"(offsetof(mq_patch, rest))                               \
            : "q0", "q1", "lr", "cc", "memory");                                                                       \
    }

MQ_LONG_ROWS(mq_long_rows_s8, int8_t, MQ_CHUNK_S8, "wlstp.8", MQ_REST("vldrb.8", "vldrb.8", ".s8", ""))
MQ_LONG_ROWS(mq_long_rows_s16, int16_t, MQ_CHUNK_S16, "wlstp.16", MQ_REST("vldrh.16", "vldrb.s16", ".s16", ", lsl #1"))

#define MQ_WINDOWS_OF(format, value, lanes, load, load_w, mac, vctp)                                                   \
    static inline void mq_windows_##format(const mq_patch *n, const value *x, const int8_t *block, uint32_t count,     \
                                           int32_t *sums) {                                                            \
        if (n->resident) {                                                                                             \
            mq_resident_##format(n, x, block, count, sums);                                                            \
        } else {                                                                                                       \
            mq_long_rows_##format(n, x, block, count, sums);                                                           \
        }                                                                                                              \
    }

#else

#define MQ_WINDOWS_OF(format, value, lanes, load, load_w, mac, vctp)                                                   \
    static inline void mq_windows_##format(const mq_patch *n, const value *x, const int8_t *block, uint32_t count,     \
                                           int32_t *sums) {                                                            \
        for (; count; count--, sums += 4, x += n->row) {                                                               \
            for (uint32_t k = 0; k < 4u; k++) {                                                                        \
                const int8_t *w = block;                                                                               \
                int32_t sum = 0;                                                                                       \
                for (uint32_t i = 0; i < n->row; i += lanes) {                                                         \
                    const uint32_t length = n->row - i < lanes ? n->row - i : lanes;                                   \
                    sum = mac(sum, load(x + i, vctp(length)), load_w(w + k * length, vctp(length)));                   \
                    w += 4u * length;                                                                                  \
                }                                                                                                      \
                sums[k] = sum;                                                                                         \
            }                                                                                                          \
        }                                                                                                              \
    }

#endif

MQ_WINDOWS_OF(s8, int8_t, 16u, vldrbq_z_s8, vldrbq_z_s8, vmladavaq_s8, vctp8q)
MQ_WINDOWS_OF(s16, int16_t, 8u, vldrhq_z_s16, vldrbq_z_s16, vmladavaq_s16, vctp16q)

/* Sums of the rows behind the last block, `rows` of them. */
#define MQ_WINDOWS_LEFT(format, value)                                                                                 \
    static inline void mq_windows_left_##format(const mq_patch *n, uint32_t columns, const value *x, const int8_t *w,  \
                                                uint32_t rows, uint32_t count, int32_t *sums) {                        \
        for (; count; count--, sums += 4, x += n->row) {                                                               \
            mq_vector_##format v;                                                                                      \
            v.x = x;                                                                                                   \
            v.columns = columns;                                                                                       \
            for (uint32_t k = 0; k < rows; k++) {                                                                      \
                sums[k] = mq_row_##format(&v, w + k * n->row, 0);                                                      \
            }                                                                                                          \
        }                                                                                                              \
    }

MQ_WINDOWS_LEFT(s8, int8_t)
MQ_WINDOWS_LEFT(s16, int16_t)

#endif
