/* Rows as they are, four at a time; mq_plain_rows.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_FULLY_CONNECTED mq_fully_connected_s8_frame_f32
#define MQ_VALUE float
#define MQ_STORE(real) (real)
#include "mq_fully_connected_frame_rows.h"
