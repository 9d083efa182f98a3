/* Integer LSTM units on Helium, four at a time, from the sums of their gates; mq_lstm.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MVE_LSTM_CELL_H
#define MQ_MVE_LSTM_CELL_H

#include "mq_lstm.h"
#include "mq_mve_gates.h"

/* Sums of the gates i, o, f, c, of what x and h add. */
typedef struct {
    int32_t x[4][MQ_UNITS];
    int32_t h[4][MQ_UNITS];
} mq_lstm_sums;

/* What cell states add to the sums of a gate through its peepholes. */
static inline int32x4_t mq_lstm_peeps(const int16_t *peephole, int32x4_t c, mve_pred16_t some,
                                      const mq_lstm_params *p) {
    return vrshlq_s32(vmulq_s32(vldrhq_z_s32(peephole, some), c), vdupq_n_s32(-p->peephole_shift));
}

/* Updates the cell states of `count` units; their new hidden states in Q30 go to s->x[0]. peephole: those of gate i, of
 * o and f p->units further each; or NULL. */
MQ_OUT_OF_LINE void mq_lstm_cells(mq_lstm_sums *s, const int16_t *peephole, int16_t *c, uint32_t count,
                                  const mq_lstm_params *p) {
    const int32x4_t bits = vdupq_n_s32(-p->cell_bits);
    const int32x4_t tanh_bits = vdupq_n_s32(p->cell_bits - 4);
    for (uint32_t k = 0; k < count; k += 4u) {
        const mve_pred16_t some = vctp32q(count - k);
        const int32x4_t old = vldrhq_z_s32(c + k, some);
        int32x4_t gate[4];
        for (uint32_t g = 0; g < 3u; g++) {
            int32x4_t sum = vaddq_s32(vldrwq_s32(&s->x[g][k]), vldrwq_s32(&s->h[g][k]));
            if (peephole && g != 1u) {
                sum = vaddq_s32(sum, mq_lstm_peeps(peephole + g * p->units + k, old, some, p));
            }
            gate[g] = mq_gate_s32(sum, p->sigmoid_clip, p->sigmoid_table);
        }
        const int32x4_t sum = vaddq_s32(vldrwq_s32(&s->x[3][k]), vldrwq_s32(&s->h[3][k]));
        gate[3] = mq_gate_s32(sum, p->tanh_clip, p->tanh_table);
        if (p->input_forget) {
            gate[2] = vsubq_s32(vdupq_n_s32(32768), gate[0]);
        }
        const int32x4_t kept = vmulq_s32(gate[2], old);
        const int32x4_t added = vrshlq_s32(vmulq_s32(gate[0], gate[3]), bits);
        const int32x4_t cell = mq_sat_s16_s32(vrshrq_n_s32(vaddq_s32(kept, added), 15));
        vstrhq_p_s32(c + k, cell, some);
        if (peephole) {
            int32x4_t last = vaddq_s32(vldrwq_s32(&s->x[1][k]), vldrwq_s32(&s->h[1][k]));
            last = vaddq_s32(last, mq_lstm_peeps(peephole + p->units + k, cell, some, p));
            gate[1] = mq_gate_s32(last, p->sigmoid_clip, p->sigmoid_table);
        }
        const int32x4_t argument = mq_sat_s16_s32(vrshlq_s32(vshlq_n_s32(cell, 1), tanh_bits));
        vstrwq_s32(&s->x[0][k], vmulq_s32(gate[1], mq_lookup_s32(argument, p->tanh_table)));
    }
}

/* Hidden states in Q30 as they are stored. */
static inline void mq_lstm_hidden_s8(const int32_t *q30, uint32_t count, int8_t *next) {
    for (uint32_t k = 0; k < count; k += 4u) {
        vstrbq_p_s32(next + k, mq_q30_to_s8_s32(vldrwq_s32(q30 + k)), vctp32q(count - k));
    }
}

static inline void mq_lstm_hidden_s16(const int32_t *q30, uint32_t count, int16_t *next) {
    for (uint32_t k = 0; k < count; k += 4u) {
        vstrhq_p_s32(next + k, mq_q30_to_s16_s32(vldrwq_s32(q30 + k)), vctp32q(count - k));
    }
}

#endif
