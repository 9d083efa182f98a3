/* Depthwise convolutions on Helium. A channel lies in a map with its pads, so windows have no limits.
 *
 * A window is cut into pieces: runs of places in the map as long as a vector, which together cover all its taps. With
 * the weights of a piece where their taps lie and 0 elsewhere, a piece is one load and one VMLADAVA. Rows of a window
 * that lie close together share a piece; so that they do, what is outside of a row stands once, between it and the
 * next. SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_DEPTHWISE_H
#define MQ_MVE_DEPTHWISE_H

#include "mq_mve_conv.h"
#include "mq_mve_copies.h"
#include "mq_padded.h"

/* More pieces than these are not kept; such windows are summed tap by tap. */
#define MQ_PIECES 12u

/* Sums of one channel that lie on the stack at a time. */
#define MQ_PLACES 128u

/* Where the pieces of a window begin, and which tap each of their lanes has, of those in `some`; 0 pieces where there
 * would be too many. */
typedef struct {
    uint32_t count;
    uint32_t at[MQ_PIECES];
    uint32_t row; /* places from one row of the map to the next */
    uint32_t lanes;
    uint8_t tap[MQ_PIECES][16];
    uint32_t some[MQ_PIECES];
} mq_pieces;

/* The place of a tap in the map, from the first one of its window. */
static inline uint32_t mq_tap_at(const mq_conv_shape *s, uint32_t row, uint32_t tap) {
    const uint32_t width = (uint32_t)s->kernel_width;
    return tap / width * (uint32_t)s->dilation_height * row + tap % width * (uint32_t)s->dilation_width;
}

static inline mq_pieces mq_pieces_of(const mq_conv_shape *s, uint32_t row, uint32_t lanes) {
    mq_pieces p = {0, {0}, row, lanes, {{0}}, {0}};
    for (uint32_t tap = 0; tap < (uint32_t)(s->kernel_height * s->kernel_width); tap++) {
        const uint32_t at = mq_tap_at(s, row, tap);
        if (p.count == 0 || at >= p.at[p.count - 1u] + lanes) {
            if (p.count == MQ_PIECES) {
                p.count = 0;
                return p;
            }
            p.at[p.count++] = at;
        }
        const uint32_t piece = p.count - 1u;
        const uint32_t lane = at - p.at[piece];
        p.tap[piece][lane] = (uint8_t)tap;
        p.some[piece] |= ((1u << (16u / lanes)) - 1u) << (lane * (16u / lanes));
    }
    return p;
}

/* The weights of one channel as pieces have them: [count][lanes]. */
static inline void mq_weights_of_s8(int8_t *pieces, const mq_pieces *p, const int8_t *w) {
    for (uint32_t k = 0; k < p->count; k++) {
        const uint8x16_t taps = vldrbq_u8(p->tap[k]);
        vstrbq_s8(pieces + k * 16u, vldrbq_gather_offset_z_s8(w, taps, (mve_pred16_t)p->some[k]));
    }
}

static inline void mq_weights_of_s16(int8_t *pieces, const mq_pieces *p, const int8_t *w) {
    for (uint32_t k = 0; k < p->count; k++) {
        const uint16x8_t taps = vldrbq_u16(p->tap[k]);
        vstrbq_s16(pieces + k * 8u, vldrbq_gather_offset_z_s16(w, taps, (mve_pred16_t)p->some[k]));
    }
}

/* mq_places_<pieces>_<format>: sums of `rows` rows of `width` windows, `stride` apart, of up to four pieces; from one
 * row to the next `down`. In assembly where there is Helium, for the reason that mq_mve_rows.h has. */
#if defined(__ARM_FEATURE_MVE)

/* A window: piece k is read at %[x<k>], which moves to the next window. */
#define MQ_PIECE_S8(k, mac, sum) "vldrb.8 q0, [%[x" k "]]\n\t" mac ".s8 " sum ", q0, %q[w" k "]\n\t"
#define MQ_PIECE_S16(k, mac, sum) "vldrh.16 q0, [%[x" k "]]\n\t" mac ".s16 " sum ", q0, %q[w" k "]\n\t"
#define MQ_NEIGHBOUR_S8(k, mac, sum) "vldrb.8 q0, [%[x" k "]], #1\n\t" mac ".s8 " sum ", q0, %q[w" k "]\n\t"
#define MQ_NEIGHBOUR_S16(k, mac, sum) "vldrh.16 q0, [%[x" k "]], #2\n\t" mac ".s16 " sum ", q0, %q[w" k "]\n\t"
#define MQ_MOVE_PIECE(k) "add %[x" k "], %[x" k "], %[stride]\n\t"
#define MQ_SKIP_PIECE(k) "add %[x" k "], %[x" k "], %[skip]\n\t"

#define MQ_ONE_NEAR(piece, sum) piece("0", "vmladav", sum)
#define MQ_TWO_NEAR(piece, sum) MQ_ONE_NEAR(piece, sum) piece("1", "vmladava", sum)
#define MQ_THREE_NEAR(piece, sum) MQ_TWO_NEAR(piece, sum) piece("2", "vmladava", sum)
#define MQ_FOUR_NEAR(piece, sum) MQ_THREE_NEAR(piece, sum) piece("3", "vmladava", sum)
#define MQ_ONE_FAR(piece, sum) MQ_ONE_NEAR(piece, sum) MQ_MOVE_PIECE("0")
#define MQ_TWO_FAR(piece, sum) MQ_TWO_NEAR(piece, sum) MQ_MOVE_PIECE("0") MQ_MOVE_PIECE("1")
#define MQ_THREE_FAR(piece, sum) MQ_THREE_NEAR(piece, sum) MQ_MOVE_PIECE("0") MQ_MOVE_PIECE("1") MQ_MOVE_PIECE("2")
#define MQ_FOUR_FAR(piece, sum)                                                                                        \
    MQ_FOUR_NEAR(piece, sum) MQ_MOVE_PIECE("0") MQ_MOVE_PIECE("1") MQ_MOVE_PIECE("2") MQ_MOVE_PIECE("3")
#define MQ_ONE_SKIP MQ_SKIP_PIECE("0")
#define MQ_TWO_SKIP MQ_ONE_SKIP MQ_SKIP_PIECE("1")
#define MQ_THREE_SKIP MQ_TWO_SKIP MQ_SKIP_PIECE("2")
#define MQ_FOUR_SKIP MQ_THREE_SKIP MQ_SKIP_PIECE("3")

/* Two windows at a time; an odd one ends the row. */
#define MQ_PUT_PAIR "strd %[a], %[b], [%[sums]], #8\n\tle lr, 2b\n3:\n\tcbz %[odd], 4f\n\t"
#define MQ_PUT_ODD "str %[a], [%[sums]], #4\n4:\n\t"
#define MQ_PLACES_OF(name, value, vector, load, lanes, count, window, piece, skips)                                    \
    MQ_OUT_OF_LINE void name(const value *x, uint32_t stride, uint32_t down, const int8_t *pieces, const mq_pieces *p, \
                             uint32_t rows, uint32_t width, int32_t *sums) {                                           \
        const vector w0 = load(pieces);                                                                                \
        const vector w1 = count > 1 ? load(pieces + lanes) : w0;                                                       \
        const vector w2 = count > 2 ? load(pieces + 2 * lanes) : w0;                                                   \
        const vector w3 = count > 3 ? load(pieces + 3 * lanes) : w0;                                                   \
        const value *x0 = x;                                                                                           \
        const value *x1 = count > 1 ? x + p->at[1] : x;                                                                \
        const value *x2 = count > 2 ? x + p->at[2] : x;                                                                \
        const value *x3 = count > 3 ? x + p->at[3] : x;                                                                \
        int32_t a;                                                                                                     \
        int32_t b;                                                                                                     \
        __asm__ volatile(                                                                                              \
            "1:\n\twls lr, %[pairs], 3f\n2:\n\t" window(piece, "%[a]") window(piece, "%[b]")                           \
                MQ_PUT_PAIR window(piece, "%[a]") MQ_PUT_ODD skips "subs %[rows], #1\n\tbne 1b"                        \
            : [a] "=&Te"(a), [b] "=&Te"(b), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3),                \
              [sums] "+r"(sums), [rows] "+r"(rows)                                                                     \
            : [pairs] "r"(width >> 1), [odd] "l"(width & 1u), [skip] "r"((down - width * stride) * sizeof *x),         \
              [stride] "r"(stride * sizeof *x), [w0] "w"(w0), [w1] "w"(w1), [w2] "w"(w2), [w3] "w"(w3)                 \
            : "q0", "lr", "cc", "memory");                                                                             \
    }

#define MQ_BY_PIECES(which, name, value)                                                                               \
    static inline void which##_##name(const value *x, uint32_t stride, uint32_t down, const int8_t *pieces,            \
                                      const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {              \
        if (p->count == 1u) {                                                                                          \
            which##_1_##name(x, stride, down, pieces, p, rows, width, sums);                                           \
        } else if (p->count == 2u) {                                                                                   \
            which##_2_##name(x, stride, down, pieces, p, rows, width, sums);                                           \
        } else if (p->count == 3u) {                                                                                   \
            which##_3_##name(x, stride, down, pieces, p, rows, width, sums);                                           \
        } else {                                                                                                       \
            which##_4_##name(x, stride, down, pieces, p, rows, width, sums);                                           \
        }                                                                                                              \
    }

#define MQ_EVERY_PLACES_OF(name, value, vector, load, lanes, piece, neighbour)                                         \
    MQ_PLACES_OF(mq_near_1_##name, value, vector, load, lanes, 1, MQ_ONE_NEAR, neighbour, MQ_ONE_SKIP)                 \
    MQ_PLACES_OF(mq_near_2_##name, value, vector, load, lanes, 2, MQ_TWO_NEAR, neighbour, MQ_TWO_SKIP)                 \
    MQ_PLACES_OF(mq_near_3_##name, value, vector, load, lanes, 3, MQ_THREE_NEAR, neighbour, MQ_THREE_SKIP)             \
    MQ_PLACES_OF(mq_near_4_##name, value, vector, load, lanes, 4, MQ_FOUR_NEAR, neighbour, MQ_FOUR_SKIP)               \
    MQ_PLACES_OF(mq_far_1_##name, value, vector, load, lanes, 1, MQ_ONE_FAR, piece, MQ_ONE_SKIP)                       \
    MQ_PLACES_OF(mq_far_2_##name, value, vector, load, lanes, 2, MQ_TWO_FAR, piece, MQ_TWO_SKIP)                       \
    MQ_PLACES_OF(mq_far_3_##name, value, vector, load, lanes, 3, MQ_THREE_FAR, piece, MQ_THREE_SKIP)                   \
    MQ_PLACES_OF(mq_far_4_##name, value, vector, load, lanes, 4, MQ_FOUR_FAR, piece, MQ_FOUR_SKIP)                     \
    MQ_BY_PIECES(mq_near, name, value)                                                                                 \
    MQ_BY_PIECES(mq_far, name, value)                                                                                  \
    static inline void mq_few_pieces_##name(const value *x, uint32_t stride, uint32_t down, const int8_t *pieces,      \
                                            const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {        \
        if (stride == 1u) {                                                                                            \
            mq_near_##name(x, 1, down, pieces, p, rows, width, sums);                                                  \
        } else {                                                                                                       \
            mq_far_##name(x, stride, down, pieces, p, rows, width, sums);                                              \
        }                                                                                                              \
    }

MQ_EVERY_PLACES_OF(s8, int8_t, int8x16_t, vldrbq_s8, 16, MQ_PIECE_S8, MQ_NEIGHBOUR_S8)
MQ_EVERY_PLACES_OF(s16, int16_t, int16x8_t, vldrbq_s16, 8, MQ_PIECE_S16, MQ_NEIGHBOUR_S16)

#else

#define mq_few_pieces_s8 mq_many_pieces_s8
#define mq_few_pieces_s16 mq_many_pieces_s16

#endif

/* The same for any number of pieces. */
static inline void mq_many_pieces_s8(const int8_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                     const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    for (; rows; rows--, x += down) {
        for (uint32_t j = 0; j < width; j++) {
            int32_t sum = 0;
            for (uint32_t k = 0; k < p->count; k++) {
                sum = vmladavaq_s8(sum, vldrbq_s8(pieces + k * 16u), vldrbq_s8(x + j * stride + p->at[k]));
            }
            *sums++ = sum;
        }
    }
}

static inline void mq_many_pieces_s16(const int16_t *x, uint32_t stride, uint32_t down, const int8_t *pieces,
                                      const mq_pieces *p, uint32_t rows, uint32_t width, int32_t *sums) {
    for (; rows; rows--, x += down) {
        for (uint32_t j = 0; j < width; j++) {
            int32_t sum = 0;
            for (uint32_t k = 0; k < p->count; k++) {
                sum = vmladavaq_s16(sum, vldrbq_s16(pieces + k * 8u), vldrhq_s16(x + j * stride + p->at[k]));
            }
            *sums++ = sum;
        }
    }
}

/* Sums of `count` windows of one row, tap by tap, for windows without pieces. */
#define MQ_TAPS_OF(name, value)                                                                                        \
    static inline void name(const value *x, uint32_t stride, const int8_t *w, const mq_pieces *p,                      \
                            const mq_conv_shape *s, uint32_t count, int32_t *sums) {                                   \
        for (; count; count--, x += stride) {                                                                          \
            int32_t sum = 0;                                                                                           \
            for (uint32_t tap = 0; tap < (uint32_t)(s->kernel_height * s->kernel_width); tap++) {                      \
                sum += (int32_t)x[mq_tap_at(s, p->row, tap)] * w[tap];                                                 \
            }                                                                                                          \
            *sums++ = sum;                                                                                             \
        }                                                                                                              \
    }

MQ_TAPS_OF(mq_depthwise_taps_s8, int8_t)
MQ_TAPS_OF(mq_depthwise_taps_s16, int16_t)

/* `count` outputs of channel k. Of `sums`, whole vectors are read. */
#define MQ_DEPTHWISE_FINISH(name, value, store, store_some)                                                            \
    static inline void name(const int32_t *sums, uint32_t count, const mq_conv_params *p, uint32_t k,                  \
                            const mq_limits *limits, value *y) {                                                       \
        const int32_t bias = p->bias[k];                                                                               \
        const mq_to_scale scale = mq_to_scale_within(0, p->multiplier[k], p->shift[k], *limits);                       \
        for (uint32_t fours = count >> 2; fours; fours--, sums += 4, y += 4) {                                         \
            store(y, mq_limited(mq_scaled(vaddq_n_s32(vldrwq_s32(sums), bias), &scale), &scale.limits));               \
        }                                                                                                              \
        if (count & 3u) {                                                                                              \
            const int32x4_t last = mq_scaled(vaddq_n_s32(vldrwq_s32(sums), bias), &scale);                             \
            store_some(y, mq_limited(last, &scale.limits), vctp32q(count & 3u));                                       \
        }                                                                                                              \
    }

MQ_DEPTHWISE_FINISH(mq_depthwise_finish_s8, int8_t, vstrbq_s32, vstrbq_p_s32)
MQ_DEPTHWISE_FINISH(mq_depthwise_finish_s16, int16_t, vstrhq_s32, vstrhq_p_s32)

#endif
