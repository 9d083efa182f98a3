/* One unit of an integer LSTM, from the sums of its four gates; mq_lstm.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LSTM_CELL_H
#define MQ_LSTM_CELL_H

#include "mq_lstm.h"
#include "mq_recurrent.h"

/* Updates the cell state and returns the new hidden state in Q30. sum: gates i, o, f, c with guard bits. */
static inline int32_t mq_lstm_cell(const int32_t *sum, int16_t *c, const mq_lstm_params *p) {
    const int32_t i = mq_gate(sum[0], p->sigmoid_clip, p->sigmoid_table);
    const int32_t o = mq_gate(sum[1], p->sigmoid_clip, p->sigmoid_table);
    const int32_t f = p->input_forget ? 32768 - i : mq_gate(sum[2], p->sigmoid_clip, p->sigmoid_table);
    const int32_t g = mq_gate(sum[3], p->tanh_clip, p->tanh_table);
    const int16_t cell = mq_sat_s16(mq_rshr(f * *c + mq_rshr(i * g, p->cell_bits), 15));
    *c = cell;
    return o * mq_lookup(mq_sat_s16(mq_rshr(2 * cell, 4 - p->cell_bits)), p->tanh_table);
}

#endif
