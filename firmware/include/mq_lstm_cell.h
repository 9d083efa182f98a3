/* One unit of an integer LSTM, from the sums of its four gates; mq_lstm.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LSTM_CELL_H
#define MQ_LSTM_CELL_H

#include "mq_lstm.h"
#include "mq_recurrent.h"

/* What a cell state adds to the sum of a gate through its peephole; nothing without one. */
static inline int32_t mq_lstm_peep(const int16_t *peephole, uint32_t gate, int32_t c, const mq_lstm_params *p) {
    return peephole ? mq_rshr(peephole[gate * p->units] * c, p->peephole_shift) : 0;
}

/* The peepholes of a unit in direction d, or NULL. */
static inline const int16_t *mq_lstm_peepholes(uint32_t d, uint32_t unit, const mq_lstm_params *p) {
    return p->peephole ? p->peephole + (size_t)d * 3u * p->units + unit : NULL;
}

/* Updates the cell state and returns the new hidden state in Q30. sum: gates i, o, f, c with guard bits. peephole: that
 * of gate i of this unit, those of o and f p->units further each; or NULL. */
static inline int32_t mq_lstm_cell(const int32_t *sum, const int16_t *peephole, int16_t *c, const mq_lstm_params *p) {
    const int32_t from_i = sum[0] + mq_lstm_peep(peephole, 0, *c, p);
    const int32_t from_f = sum[2] + mq_lstm_peep(peephole, 2, *c, p);
    const int32_t i = mq_gate(from_i, p->sigmoid_clip, p->sigmoid_table);
    const int32_t f = p->input_forget ? 32768 - i : mq_gate(from_f, p->sigmoid_clip, p->sigmoid_table);
    const int32_t g = mq_gate(sum[3], p->tanh_clip, p->tanh_table);
    const int16_t cell = mq_sat_s16(mq_rshr(f * *c + mq_rshr(i * g, p->cell_bits), 15));
    const int32_t o = mq_gate(sum[1] + mq_lstm_peep(peephole, 1, cell, p), p->sigmoid_clip, p->sigmoid_table);
    *c = cell;
    return o * mq_lookup(mq_sat_s16(mq_rshr(2 * cell, 4 - p->cell_bits)), p->tanh_table);
}

#endif
