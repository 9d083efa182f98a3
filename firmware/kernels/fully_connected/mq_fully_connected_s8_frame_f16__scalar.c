/* Rows as they are, four at a time; mq_plain_rows.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_float.h"
#include "mq_plain_rows.h"

#define MQ_FULLY_CONNECTED mq_fully_connected_s8_frame_f16
#define MQ_VALUE mq_f16
#define MQ_STORE(real) mq_f32_to_f16(real)
#include "mq_fully_connected_frame_rows.h"
