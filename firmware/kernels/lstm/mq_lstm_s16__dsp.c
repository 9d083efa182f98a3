/* Packed rows, four at a time; mq_lstm.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rows.h"

#define MQ_LSTM mq_lstm_s16
#define MQ_X(name) name##_s16
#define MQ_H(name) name##_s16
#include "mq_lstm_rows.h"
