/* Products of s8 matrices with a vector in s8 or s16, four rows at a time, for Helium.
 *
 *   sums[o] = start[o] + sum_i x[i] w[o, i], modulo 2^32
 *
 * Sixteen columns (eight where x is s16) are a chunk: one load of x and, for each row, one load and one VMLADAVA. In
 * memory the chunks of the four rows of a block follow one another, row by row, so that one pointer walks through them.
 * Up to four columns behind the last chunk are filled up with zeros to four: one load brings those of four rows (two,
 * where x is s16), and each row is multiplied with x moved to where the row lies, 0 elsewhere. More than four columns
 * behind the last chunk are a shorter chunk. Rows behind the last block lie one by one, filled up in the same way.
 * mcu_quant/ops/common/packing.py packs, with zeros behind the last row for loads that reach beyond it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_ROWS_H
#define MQ_MVE_ROWS_H

#include <string.h>

#include "mq_mve.h"

/* Kernels work on the sums of so many rows at a time, which lie on the stack. */
#define MQ_SUMS 64u

/* A vector: whole chunks by eight and one by one; behind them `quad` (0 or 1) times up to four columns, at each place
 * that a row can have, or `rest` columns. */
typedef struct {
    const int8_t *x;
    uint32_t eights;
    uint32_t ones;
    uint32_t quad;
    uint32_t rest;
    uint32_t columns;
    uint32_t row; /* bytes of a packed row */
    int8x16_t last[4];
} mq_vector_s8;

typedef struct {
    const int16_t *x;
    uint32_t eights;
    uint32_t ones;
    uint32_t quad;
    uint32_t rest;
    uint32_t columns;
    uint32_t row; /* bytes of a packed row */
    int16x8_t last[2];
} mq_vector_s16;

/* What a row of the packed matrix takes, for chunks of so many columns. */
static inline uint32_t mq_row_bytes(uint32_t columns, uint32_t chunk) {
    const uint32_t left = columns & (chunk - 1u);
    return left && left < 4u ? columns - left + 4u : columns;
}

static inline void mq_vector_of_s8(mq_vector_s8 *v, const int8_t *x, uint32_t columns) {
    const uint32_t left = columns & 15u;
    v->columns = columns;
    v->row = mq_row_bytes(columns, 16);
    v->x = x;
    v->eights = columns >> 7;
    v->ones = (columns >> 4) & 7u;
    v->quad = left && left <= 4u;
    v->rest = left > 4u ? left : 0u;
    if (v->quad) {
        int8_t places[32] = {0};
        for (uint32_t k = 0; k < left; k++) {
            places[16u + k] = x[columns - left + k];
        }
        for (uint32_t k = 0; k < 4u; k++) {
            v->last[k] = vldrbq_s8(places + 16u - 4u * k);
        }
    }
}

static inline void mq_vector_of_s16(mq_vector_s16 *v, const int16_t *x, uint32_t columns) {
    const uint32_t left = columns & 7u;
    v->columns = columns;
    v->row = mq_row_bytes(columns, 8);
    v->x = x;
    v->eights = columns >> 6;
    v->ones = (columns >> 3) & 7u;
    v->quad = left && left <= 4u;
    v->rest = left > 4u ? left : 0u;
    if (v->quad) {
        int16_t places[16] = {0};
        for (uint32_t k = 0; k < left; k++) {
            places[8u + k] = x[columns - left + k];
        }
        v->last[0] = vldrhq_s16(places + 8);
        v->last[1] = vldrhq_s16(places + 4);
    }
}

/* mq_block_s8, mq_block_s16: the next four sums from the next four of `start`; the pointers to w, start and sums move
 * on.
 *
 * Both compilers spill registers in and around these loops, so they are in assembly where there is Helium; the same in
 * intrinsics stands below, for the host. */
#if defined(__ARM_FEATURE_MVE)

#define MQ_CHUNK_S8                                                                                                    \
    "vldrb.8 q0, [%[x]], #16\n\t"                                                                                      \
    "vldrb.8 q1, [%[w]], #16\n\tvmladava.s8 %[a], q0, q1\n\t"                                                          \
    "vldrb.8 q1, [%[w]], #16\n\tvmladava.s8 %[b], q0, q1\n\t"                                                          \
    "vldrb.8 q1, [%[w]], #16\n\tvmladava.s8 %[c], q0, q1\n\t"                                                          \
    "vldrb.8 q1, [%[w]], #16\n\tvmladava.s8 %[d], q0, q1\n\t"

static inline void mq_block_s8(const mq_vector_s8 *v, const int8x16_t *last, const int8_t **w, const int32_t **start,
                               int32_t **sums) {
    const int8_t *x;
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
    __asm__ volatile(
        "ldr %[x], [%[v]]\n\tldrd %[a], %[b], [%[start]], #8\n\tldrd %[c], %[d], [%[start]], #8\n\t"
        "ldr lr, [%[v], %[eights]]\n\twls lr, lr, 2f\n1:\n\t" MQ_CHUNK_S8 MQ_CHUNK_S8 MQ_CHUNK_S8 MQ_CHUNK_S8
            MQ_CHUNK_S8 MQ_CHUNK_S8 MQ_CHUNK_S8 MQ_CHUNK_S8 "le lr, 1b\n2:\n\t"
        "ldr lr, [%[v], %[ones]]\n\twls lr, lr, 4f\n3:\n\t" MQ_CHUNK_S8 "le lr, 3b\n4:\n\t"
        "ldr lr, [%[v], %[quad]]\n\twls lr, lr, 6f\n\t"
        "vldrb.8 q1, [%[w]], #16\n\t"
        "vmladava.s8 %[a], %q[l0], q1\n\tvmladava.s8 %[b], %q[l1], q1\n\t"
        "vmladava.s8 %[c], %q[l2], q1\n\tvmladava.s8 %[d], %q[l3], q1\n\t"
        "b 8f\n6:\n\t"
        "ldr lr, [%[v], %[rest]]\n\twlstp.8 lr, lr, 8f\n7:\n\t"
        "vldrb.8 q0, [%[x]]\n\t"
        "vldrb.8 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s8 %[a], q0, q1\n\t"
        "vldrb.8 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s8 %[b], q0, q1\n\t"
        "vldrb.8 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s8 %[c], q0, q1\n\t"
        "vldrb.8 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s8 %[d], q0, q1\n\t"
        "letp lr, 7b\n8:\n\t"
        "strd %[a], %[b], [%[sums]], #8\n\tstrd %[c], %[d], [%[sums]], #8"
        : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "=&r"(x), [w] "+l"(*w), [start] "+r"(*start),
          [sums] "+r"(*sums)
        : [v] "r"(v), [eights] "i"(offsetof(mq_vector_s8, eights)), [ones] "i"(offsetof(mq_vector_s8, ones)),
          [quad] "i"(offsetof(mq_vector_s8, quad)), [rest] "i"(offsetof(mq_vector_s8, rest)), [l0] "w"(last[0]),
          [l1] "w"(last[1]), [l2] "w"(last[2]), [l3] "w"(last[3])
        : "q0", "q1", "lr", "memory");
}

/* One row of those behind the last block. */
static inline int32_t mq_row_s8(const mq_vector_s8 *v, const int8_t *w, int32_t sum) {
    const int8_t *x = v->x;
    __asm__ volatile("wlstp.8 lr, %[columns], 2f\n1:\n\tvldrb.8 q0, [%[x]], #16\n\tvldrb.8 q1, [%[w]], "
                     "#16\n\tvmladava.s8 %[sum], q0, q1\n\tletp lr, 1b\n2:"
                     : [sum] "+Te"(sum), [x] "+r"(x), [w] "+l"(w)
                     : [columns] "r"(v->columns)
                     : "q0", "q1", "lr", "memory");
    return sum;
}

#define MQ_CHUNK_S16                                                                                                   \
    "vldrh.16 q0, [%[x]], #16\n\t"                                                                                     \
    "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[a], q0, q1\n\t"                                                        \
    "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[b], q0, q1\n\t"                                                        \
    "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[c], q0, q1\n\t"                                                        \
    "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[d], q0, q1\n\t"

static inline void mq_block_s16(const mq_vector_s16 *v, const int16x8_t *last, const int8_t **w, const int32_t **start,
                                int32_t **sums) {
    const int16_t *x;
    int32_t a;
    int32_t b;
    int32_t c;
    int32_t d;
    __asm__ volatile("ldr %[x], [%[v]]\n\tldrd %[a], %[b], [%[start]], #8\n\tldrd %[c], %[d], [%[start]], #8\n\t"
                     "ldr lr, [%[v], %[eights]]\n\twls lr, lr, 2f\n1:\n\t" MQ_CHUNK_S16 MQ_CHUNK_S16 MQ_CHUNK_S16
                         MQ_CHUNK_S16 MQ_CHUNK_S16 MQ_CHUNK_S16 MQ_CHUNK_S16 MQ_CHUNK_S16 "le lr, 1b\n2:\n\t"
                     "ldr lr, [%[v], %[ones]]\n\twls lr, lr, 4f\n3:\n\t" MQ_CHUNK_S16 "le lr, 3b\n4:\n\t"
                     "ldr lr, [%[v], %[quad]]\n\twls lr, lr, 6f\n\t"
                     "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[a], %q[l0], q1\n\tvmladava.s16 %[b], %q[l1], q1\n\t"
                     "vldrb.s16 q1, [%[w]], #8\n\tvmladava.s16 %[c], %q[l0], q1\n\tvmladava.s16 %[d], %q[l1], q1\n\t"
                     "b 8f\n6:\n\t"
                     "ldr lr, [%[v], %[rest]]\n\twlstp.16 lr, lr, 8f\n7:\n\t"
                     "vldrh.16 q0, [%[x]]\n\t"
                     "vldrb.s16 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s16 %[a], q0, q1\n\t"
                     "vldrb.s16 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s16 %[b], q0, q1\n\t"
                     "vldrb.s16 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s16 %[c], q0, q1\n\t"
                     "vldrb.s16 q1, [%[w]]\n\tadd %[w], %[w], lr\n\tvmladava.s16 %[d], q0, q1\n\t"
                     "letp lr, 7b\n8:\n\t"
                     "strd %[a], %[b], [%[sums]], #8\n\tstrd %[c], %[d], [%[sums]], #8"
                     : [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d), [x] "=&r"(x), [w] "+l"(*w),
                       [start] "+r"(*start), [sums] "+r"(*sums)
                     : [v] "r"(v), [eights] "i"(offsetof(mq_vector_s16, eights)),
                       [ones] "i"(offsetof(mq_vector_s16, ones)), [quad] "i"(offsetof(mq_vector_s16, quad)),
                       [rest] "i"(offsetof(mq_vector_s16, rest)), [l0] "w"(last[0]), [l1] "w"(last[1])
                     : "q0", "q1", "lr", "memory");
}

/* One row of those behind the last block. */
static inline int32_t mq_row_s16(const mq_vector_s16 *v, const int8_t *w, int32_t sum) {
    const int16_t *x = v->x;
    __asm__ volatile("wlstp.16 lr, %[columns], 2f\n1:\n\tvldrh.16 q0, [%[x]], #16\n\tvldrb.s16 q1, [%[w]], "
                     "#8\n\tvmladava.s16 %[sum], q0, q1\n\tletp lr, 1b\n2:"
                     : [sum] "+Te"(sum), [x] "+r"(x), [w] "+l"(w)
                     : [columns] "r"(v->columns)
                     : "q0", "q1", "lr", "memory");
    return sum;
}

#else

static inline void mq_block_s8(const mq_vector_s8 *v, const int8x16_t *last, const int8_t **w, const int32_t **start,
                               int32_t **sums) {
    const int8_t *x = v->x;
    int32_t *sum = *sums;
    memmove(sum, *start, 4u * sizeof *sum);
    for (uint32_t chunks = 8u * v->eights + v->ones; chunks; chunks--) {
        const int8x16_t columns = mq_next_s8(&x);
        for (uint32_t k = 0; k < 4u; k++) {
            sum[k] = vmladavaq_s8(sum[k], columns, mq_next_s8(w));
        }
    }
    if (v->quad) {
        const int8x16_t rows = mq_next_s8(w);
        sum[0] = vmladavaq_s8(sum[0], last[0], rows);
        sum[1] = vmladavaq_s8(sum[1], last[1], rows);
        sum[2] = vmladavaq_s8(sum[2], last[2], rows);
        sum[3] = vmladavaq_s8(sum[3], last[3], rows);
    }
    for (uint32_t k = 0; k < 4u && v->rest; k++, *w += v->rest) {
        sum[k] = vmladavaq_s8(sum[k], vldrbq_z_s8(x, vctp8q(v->rest)), vldrbq_z_s8(*w, vctp8q(v->rest)));
    }
    *start += 4;
    *sums += 4;
}

static inline int32_t mq_row_s8(const mq_vector_s8 *v, const int8_t *w, int32_t sum) {
    const int8_t *x = v->x;
    for (uint32_t left = v->columns; left; left -= left < 16u ? left : 16u) {
        const mve_pred16_t some = vctp8q(left);
        const int8x16_t columns = vldrbq_z_s8(x, some);
        sum = vmladavaq_s8(sum, columns, vldrbq_z_s8(w, some));
        x += 16;
        w += 16;
    }
    return sum;
}

static inline void mq_block_s16(const mq_vector_s16 *v, const int16x8_t *last, const int8_t **w, const int32_t **start,
                                int32_t **sums) {
    const int16_t *x = v->x;
    int32_t *sum = *sums;
    memmove(sum, *start, 4u * sizeof *sum);
    for (uint32_t chunks = 8u * v->eights + v->ones; chunks; chunks--) {
        const int16x8_t columns = mq_next_s16(&x);
        for (uint32_t k = 0; k < 4u; k++) {
            sum[k] = vmladavaq_s16(sum[k], columns, mq_next_s8_s16(w));
        }
    }
    if (v->quad) {
        const int16x8_t rows = mq_next_s8_s16(w);
        sum[0] = vmladavaq_s16(sum[0], last[0], rows);
        sum[1] = vmladavaq_s16(sum[1], last[1], rows);
        const int16x8_t more = mq_next_s8_s16(w);
        sum[2] = vmladavaq_s16(sum[2], last[0], more);
        sum[3] = vmladavaq_s16(sum[3], last[1], more);
    }
    for (uint32_t k = 0; k < 4u && v->rest; k++, *w += v->rest) {
        sum[k] = vmladavaq_s16(sum[k], vldrhq_z_s16(x, vctp16q(v->rest)), vldrbq_z_s16(*w, vctp16q(v->rest)));
    }
    *start += 4;
    *sums += 4;
}

static inline int32_t mq_row_s16(const mq_vector_s16 *v, const int8_t *w, int32_t sum) {
    const int16_t *x = v->x;
    for (uint32_t left = v->columns; left; left -= left < 8u ? left : 8u) {
        const mve_pred16_t some = vctp16q(left);
        const int16x8_t columns = vldrhq_z_s16(x, some);
        sum = vmladavaq_s16(sum, columns, vldrbq_z_s16(w, some));
        x += 8;
        w += 8;
    }
    return sum;
}

#endif

/* Sums of `count` rows; `start` may be `sums` itself. Returns where the next row lies, if count is a multiple of 4. */
MQ_OUT_OF_LINE const int8_t *mq_rows_s8(const mq_vector_s8 *v, const int8_t *w, const int32_t *start, uint32_t count,
                                        int32_t *sums) {
    const int8x16_t last[4] = {v->last[0], v->last[1], v->last[2], v->last[3]};
    for (const int32_t *end = start + (count & ~3u); start != end;) {
        mq_block_s8(v, last, &w, &start, &sums);
    }
    for (uint32_t k = 0; k < (count & 3u); k++) {
        sums[k] = mq_row_s8(v, w, start[k]);
        w += v->row;
    }
    return w;
}

/* Sums of `count` rows; `start` may be `sums` itself. Returns where the next row lies, if count is a multiple of 4. */
MQ_OUT_OF_LINE const int8_t *mq_rows_s16(const mq_vector_s16 *v, const int8_t *w, const int32_t *start, uint32_t count,
                                         int32_t *sums) {
    const int16x8_t last[2] = {v->last[0], v->last[1]};
    for (const int32_t *end = start + (count & ~3u); start != end;) {
        mq_block_s16(v, last, &w, &start, &sums);
    }
    for (uint32_t k = 0; k < (count & 3u); k++) {
        sums[k] = mq_row_s16(v, w, start[k]);
        w += v->row;
    }
    return w;
}

#endif
