output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.ledger.name
}

output "table_arn" {
  description = "ARN of the table, for policies."
  value       = aws_dynamodb_table.ledger.arn
}

output "stream_arn" {
  description = "ARN of the table's stream, which triggers dispatch."
  value       = aws_dynamodb_table.ledger.stream_arn
}

output "kms_key_arn" {
  description = "Key that encrypts the table; null: one that AWS owns."
  value       = var.kms_key_arn
}
