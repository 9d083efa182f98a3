/* Rows as they are, four at a time; mq_lstm.h and mq_plain_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_LSTM mq_lstm_s8
#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#include "mq_lstm_rows.h"
